import type { FleetPlan, FleetRates, FleetWork, Resource } from '../../plan/plan-fleet.js';
import { bytes, count, duration, percent, significant, table } from '../format.js';

const LIMITS: Readonly<Record<Resource, string>> = {
  device: 'the device',
  tokenizing: 'tokenizing: give workers more cores, or the native tokenizer',
  network: 'the network',
};

/** A plan of many workers: what it takes, what limits it, and what the figures rest on. */
export function fleetPlanText(
  work: FleetWork,
  rates: FleetRates,
  plan: FleetPlan,
  assumed: readonly string[],
): string {
  const { load, bottleneck } = plan;
  const loads = (['device', 'tokenizing', 'network'] as const).map(
    (name) => `${name} ${percent(load[name])}`,
  );
  const rows = [
    ['workers', String(rates.workers)],
    ['tokens', count(work.tokens)],
    [
      'operations',
      `${work.flops.toExponential(3)} FLOP, ${significant(work.flops / work.tokens / 1e9)} GFLOP a token`,
    ],
    ['time', `${duration(plan.wallSeconds)}, models read and the last round included`],
    [
      'device hours',
      `${significant(plan.deviceSeconds / 3600)} of work, ${significant(plan.workerSeconds / 3600)} to pay for`,
    ],
    [
      'cost',
      plan.cost === null
        ? 'name a worker’s price an hour with --price'
        : `${plan.cost.toFixed(0)} at ${rates.pricePerHour} an hour`,
    ],
    [
      'parts',
      `${count(work.parts)}, up to ${count(plan.partsPerWorker)} a worker, ${duration(plan.partSeconds)} each`,
    ],
    ['bytes in', `${bytes(plan.bytesIn)}, of them models ${bytes(plan.bytesIn - work.inputBytes)}`],
    ['bytes out', `${bytes(plan.bytesOut)}, uncompressed`],
    ['limited by', `${LIMITS[bottleneck]} (busy: ${loads.join(', ')})`],
  ];
  return [table(rows), ...assumed.map((line) => `assumed: ${line}`)].join('\n');
}
