import { FALLBACK_REFUSED, nodesOnCpu } from '../device/placement.js';
import { fatalError } from '../errors.js';
import { openHostedCalls } from '../flow/hosted-worker.js';
import type { Device, PreparedModel } from '../model/prepared-model.js';
import type { Batch } from './batches.js';

/** Losses of one batch under one model. [rows · (length − 1)], nats; entry (r, t) belongs to token t + 1 of row r. */
export interface BatchLosses {
  readonly loss: Float32Array;
  readonly entropy?: Float32Array;
  /** 1 where the token is the likeliest one, else 0. */
  readonly greedy?: Float32Array;
}

/**
 * One model in one worker thread, for the process's life: `session.run()` blocks the thread it is called on. The thread is in a
 * process beside this one: weights are mapped, and a file that is cut short ends the process that maps it.
 */
export interface ModelSession {
  score(batch: Batch): Promise<BatchLosses>;
  close(): Promise<void>;
}

export interface SessionSettings {
  readonly device: Device;
  /** Threads within an operator, at least 1. */
  readonly threads: number;
  /** The card, as the runtime counts them; 0 unless there are several. */
  readonly card?: number;
  /** Words for error messages: `reference model`, `current model`. */
  readonly role: string;
}

/** What a device that refuses a graph because of the CPU would leave there. */
export function fallbackError(role: string, folder: string, nodes: readonly string[]): Error {
  const shown = nodes.length === 0 ? 'some nodes' : nodes.slice(0, 8).join(', ');
  const more = nodes.length > 8 ? ` and ${nodes.length - 8} more` : '';
  return fatalError(
    'cpu-fallback',
    `${role} ${folder}: not all of the graph would run on CUDA, the CPU would get ${shown}${more}; use --device cpu, or a checkpoint of safetensors instead of an ONNX export`,
  );
}

/** The runtime's ways to say that the card's memory is full. */
const OUT_OF_MEMORY =
  /out of memory|failed to allocate memory|CUDA failure 2\b|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED/i;

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
  readonly card: number;
}

/**
 * Loads the model's graph in a new worker thread.
 * @throws TokensieveError (fatal) `cpu-fallback` when CUDA would leave nodes to the CPU, naming them; `out-of-memory`;
 *   `session-failed` when the runtime refuses the graph or the device otherwise.
 */
export async function openSession(model: PreparedModel, settings: SessionSettings): Promise<ModelSession> {
  const { graphPath, weightsFolder } = model;
  const start: SessionStart = {
    graphPath,
    weightsFolder,
    device: settings.device,
    threads: settings.threads,
    card: settings.card ?? 0,
  };
  const fail = (reason: string): Error => {
    if (settings.device !== 'cpu' && OUT_OF_MEMORY.test(reason)) {
      return fatalError(
        'out-of-memory',
        `${settings.role} ${model.info.folder}: the card's memory is full (${reason}); set a smaller score.batch_tokens (--batch-tokens) or run.card_memory (--card-memory), which batches are planned by`,
      );
    }
    return fatalError(
      'session-failed',
      `${settings.role} ${model.info.folder}: ${reason} (device ${settings.device}); run \`tokensieve doctor\` to see what loads here`,
    );
  };
  const opening = openHostedCalls<Omit<SessionRequest, 'id'>, SessionReply>(
    new URL('./session.worker.js', import.meta.url),
    start,
    fail,
  );
  const calls = await opening.catch(async (error: unknown) => {
    if (!(error instanceof Error) || !error.message.includes(FALLBACK_REFUSED)) throw error;
    const nodes = await nodesOnCpu(graphPath, weightsFolder, settings.device);
    throw fallbackError(settings.role, model.info.folder, nodes);
  });
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
