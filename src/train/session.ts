/** The training graph in a worker thread of its own, with the state that it steps. */

import { settleTf32, usesTf32 } from '../device/tf32.js';
import { fatalError } from '../errors.js';
import { openWorkerCalls } from '../flow/worker-calls.js';
import type { Device } from '../model/prepared-model.js';
import type { StepBatch } from './batch.js';
import type { DataInput } from './graph/step-settings.js';
import type { TrainerState } from './parameters.js';

/** A graph as bytes, and the sizes that its calls have. */
export interface SessionStart {
  readonly step: Uint8Array;
  /** Forward pass alone; null when nothing asks for it. */
  readonly losses: Uint8Array | null;
  readonly state: TrainerState;
  readonly device: Device;
  readonly threads: number;
  readonly shape: {
    readonly accumulate: number;
    readonly rows: number;
    readonly length: number;
  };
  readonly inputs: readonly DataInput[];
}

/** Data of one call, by input name. [K · A · B · T] each for steps, [B · T] for losses. */
export type CallData = Readonly<Record<string, Int32Array | Float32Array>>;

export type SessionRequest =
  | { readonly id: number; readonly kind: 'step'; readonly rates: Float32Array; readonly data: CallData }
  | { readonly id: number; readonly kind: 'losses'; readonly data: CallData }
  | { readonly id: number; readonly kind: 'state' };

export type SessionReply =
  | { readonly id: number; readonly kind: 'metrics'; readonly metrics: Float64Array }
  | { readonly id: number; readonly kind: 'losses'; readonly loss: Float32Array }
  | { readonly id: number; readonly kind: 'state'; readonly state: TrainerState }
  | { readonly id: null; readonly kind: 'ready' }
  | { readonly id: number | null; readonly kind: 'failed'; readonly message: string };

export interface TrainingSession {
  /**
   * Takes K steps, K being 1 unless the graph takes several. `rates` [K · 4]; → metrics [K · 9], columns as in
   * `STEP_METRICS`.
   */
  step(batches: readonly StepBatch[], rates: Float32Array): Promise<Float64Array>;
  /** Losses of one micro-batch (rows [from, from + B) of the batch), [B · (T − 1)] nats. */
  losses(batch: StepBatch, from: number): Promise<Float32Array>;
  /** A copy of the state after the last step. */
  state(): Promise<TrainerState>;
  close(): Promise<void>;
}

/**
 * Loads the graphs in a new worker thread. The state's memory moves there.
 * @throws fatal `session-failed` when the runtime refuses a graph or the device
 */
export async function openTrainingSession(start: SessionStart): Promise<TrainingSession> {
  // Nothing forbids it here: exact float32 products would take several times as long.
  if (start.device === 'cuda') settleTf32(usesTf32('fp16'));
  const buffers = [start.state.weights, start.state.firstMoment, start.state.secondMoment].flatMap(
    ({ decayed, undecayed }) => [decayed.buffer, undecayed.buffer] as ArrayBuffer[],
  );
  const fail = (reason: string): Error =>
    fatalError(
      'session-failed',
      `the training session: ${reason} (device ${start.device}); run \`tokensieve doctor\` to see what loads here`,
    );
  type Body = SessionRequest extends infer R ? (R extends SessionRequest ? Omit<R, 'id'> : never) : never;
  const calls = await openWorkerCalls<Body, SessionReply>(
    new URL('./session.worker.js', import.meta.url),
    { workerData: start, transferList: buffers, native: true },
    fail,
  );
  const ask = async <K extends SessionReply['kind']>(request: Body, kind: K) => {
    const reply = await calls.ask(request);
    if (reply.kind === kind) return reply as Extract<SessionReply, { kind: K }>;
    throw fail(`answered ${reply.kind} to ${request.kind}`);
  };

  return {
    async step(batches, rates) {
      const data = Object.fromEntries(
        start.inputs.map(({ name, column }) => [
          name,
          joined(batches.map((batch) => columnOf(batch, column))),
        ]),
      );
      return (await ask({ kind: 'step', rates, data }, 'metrics')).metrics;
    },
    async losses(batch, from) {
      const { rows, length } = start.shape;
      const data = Object.fromEntries(
        start.inputs
          .filter(({ forward }) => forward)
          .map(({ name, column }) => [
            name,
            columnOf(batch, column).slice(from * length, (from + rows) * length),
          ]),
      );
      return (await ask({ kind: 'losses', data }, 'losses')).loss;
    },
    state: async () => (await ask({ kind: 'state' }, 'state')).state,
    close: () => calls.close(),
  };
}

function columnOf(batch: StepBatch, column: DataInput['column']): Int32Array | Float32Array {
  const values = batch[column];
  if (values === undefined || values === null) {
    throw fatalError(
      'missing-column',
      `a batch lacks ${column}, which the training graph asks for; report this`,
    );
  }
  return values;
}

function joined(parts: readonly (Int32Array | Float32Array)[]): Int32Array | Float32Array {
  const [first] = parts;
  if (first === undefined || parts.length === 1) return first ?? new Int32Array();
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = first instanceof Int32Array ? new Int32Array(size) : new Float32Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
