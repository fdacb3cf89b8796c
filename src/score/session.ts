import { fatalError } from '../errors.js';
import { openWorkerCalls } from '../flow/worker-calls.js';
import type { Device, PreparedModel } from '../model/prepared-model.js';
import type { Batch } from './batches.js';

/** Losses of one batch under one model. [rows · (length − 1)], nats; entry (r, t) belongs to token t + 1 of row r. */
export interface BatchLosses {
  readonly loss: Float32Array;
  readonly entropy?: Float32Array;
  /** 1 where the token is the likeliest one, else 0. */
  readonly greedy?: Float32Array;
}

/** One model in one worker thread, for the process's life: `session.run()` blocks the thread it is called on. */
export interface ModelSession {
  score(batch: Batch): Promise<BatchLosses>;
  close(): Promise<void>;
}

export interface SessionSettings {
  readonly device: Device;
  /** Threads within an operator, at least 1. */
  readonly threads: number;
  /** Words for error messages: `reference model`, `current model`. */
  readonly role: string;
}

/** What is posted to the worker, and what comes back. */
export interface SessionRequest {
  readonly id: number;
  readonly rows: number;
  readonly length: number;
  readonly ids: Int32Array;
  readonly positions?: Int32Array;
  readonly documents?: Int32Array;
}
export type SessionReply =
  | { readonly id: null; readonly kind: 'ready' }
  | {
      readonly kind: 'losses';
      readonly id: number;
      readonly loss: Float32Array;
      readonly entropy?: Float32Array;
      readonly greedy?: Float32Array;
    }
  | { readonly kind: 'failed'; readonly id: number | null; readonly message: string };

export interface SessionStart {
  readonly graphPath: string;
  readonly weightsFolder: string;
  readonly device: Device;
  readonly threads: number;
}

/**
 * Loads the model's graph in a new worker thread.
 * @throws TokensieveError `session-failed` (fatal) when the runtime refuses the graph or the device.
 */
export async function openSession(model: PreparedModel, settings: SessionSettings): Promise<ModelSession> {
  const { graphPath, weightsFolder } = model;
  const start: SessionStart = {
    graphPath,
    weightsFolder,
    device: settings.device,
    threads: settings.threads,
  };
  const fail = (reason: string): Error =>
    fatalError(
      'session-failed',
      `${settings.role} ${model.info.folder}: ${reason} (device ${settings.device}); run \`tokensieve doctor\` to see what loads here`,
    );
  const calls = await openWorkerCalls<Omit<SessionRequest, 'id'>, SessionReply>(
    new URL('./session.worker.js', import.meta.url),
    { workerData: start },
    fail,
  );
  return {
    async score(batch) {
      const reply = await calls.ask({
        rows: batch.rows,
        length: batch.length,
        ids: batch.ids,
        ...(batch.positions && { positions: batch.positions }),
        ...(batch.documents && { documents: batch.documents }),
      });
      if (reply.kind === 'losses') return reply;
      throw fail(`answered ${reply.kind} to a batch`);
    },
    close: () => calls.close(),
  };
}
