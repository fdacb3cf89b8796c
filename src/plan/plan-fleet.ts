/**
 * A scoring run on many machines, on paper: hours, cost, bytes and what limits it. Pure. Every rate is an argument, and
 * what is assumed is said with the result: nothing here was measured on a fleet.
 */

/** What is to be scored. */
export interface FleetWork {
  readonly tokens: number;
  /** Floating-point operations of all models' forward passes over the corpus. */
  readonly flops: number;
  /** UTF-8 bytes of text. */
  readonly textBytes: number;
  /** Bytes of the shards as they are stored. */
  readonly inputBytes: number;
  /** Bytes of scored files, uncompressed. */
  readonly outputBytes: number;
  /** Bytes of the models' weights, which each worker reads once. */
  readonly modelBytes: number;
  readonly parts: number;
}

/** What a worker is: one device, some cores, a share of the network. */
export interface FleetRates {
  readonly workers: number;
  /** Operations a second that the models reach on one worker's device. */
  readonly flopsPerSecond: number;
  readonly coresPerWorker: number;
  /** Tokens a second that one core tokenizes. */
  readonly tokensPerSecondPerCore: number;
  /** Bytes a second of one worker, in and out together. */
  readonly networkBytesPerSecond: number;
  /** Price of a worker's hour, in any currency; null where none was named. */
  readonly pricePerHour: number | null;
}

/** What a worker can wait for. */
export type Resource = 'device' | 'tokenizing' | 'network';

export interface FleetPlan {
  /** Seconds of one worker that the whole corpus takes on each resource, if it were alone. */
  readonly seconds: Readonly<Record<Resource, number>>;
  /** The largest of them: reading, tokenizing and scoring overlap. */
  readonly bottleneck: Resource;
  /** Share of the bottleneck's time that each resource is busy. */
  readonly load: Readonly<Record<Resource, number>>;
  /** Seconds of one part, of which a worker that dies loses one at most. */
  readonly partSeconds: number;
  /** Parts of the worker that makes the most. */
  readonly partsPerWorker: number;
  /** Wall time, the reading of the models and the last, uneven round included. */
  readonly wallSeconds: number;
  /** Workers times wall time: what is paid for. */
  readonly workerSeconds: number;
  /** Device time of the work itself. */
  readonly deviceSeconds: number;
  readonly cost: number | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export function planFleet(work: FleetWork, rates: FleetRates): FleetPlan {
  const { workers } = rates;
  const seconds: Record<Resource, number> = {
    device: work.flops / rates.flopsPerSecond,
    tokenizing: work.tokens / (rates.tokensPerSecondPerCore * rates.coresPerWorker),
    network: (work.inputBytes + work.outputBytes) / rates.networkBytesPerSecond,
  };
  const resources = ['device', 'tokenizing', 'network'] as const;
  const bottleneck = resources.reduce((a, b) => (seconds[b] > seconds[a] ? b : a));
  const parts = Math.max(1, work.parts);
  const partSeconds = seconds[bottleneck] / parts;
  const partsPerWorker = Math.ceil(parts / workers);
  // A worker's models come over the network before its first part.
  const wallSeconds = partsPerWorker * partSeconds + work.modelBytes / rates.networkBytesPerSecond;
  const workerSeconds = Math.min(workers, parts) * wallSeconds;
  const share = (resource: Resource): number =>
    seconds[bottleneck] === 0 ? 0 : seconds[resource] / seconds[bottleneck];
  return {
    seconds,
    bottleneck,
    load: { device: share('device'), tokenizing: share('tokenizing'), network: share('network') },
    partSeconds,
    partsPerWorker,
    wallSeconds,
    workerSeconds,
    deviceSeconds: seconds.device,
    cost: rates.pricePerHour === null ? null : (workerSeconds / 3600) * rates.pricePerHour,
    bytesIn: work.inputBytes + work.modelBytes * Math.min(workers, parts),
    bytesOut: work.outputBytes,
  };
}
