/** A process of its own that runs an export's graphs: a graph may end it, and its memory goes with it. */
import { fork } from 'node:child_process';
import type { Device } from './prepared-model.js';

export type RunnerRequest =
  | {
      readonly kind: 'load';
      readonly graphPath: string;
      readonly weightsFolder: string;
      readonly device: Device;
      readonly threads: number;
    }
  | {
      readonly kind: 'run';
      readonly rows: number;
      readonly length: number;
      readonly ids: Int32Array;
      readonly outputs: readonly string[];
    };

/** Integers and booleans come as numbers. */
export interface RunnerOutput {
  readonly dims: readonly number[];
  readonly data: Float32Array | Float64Array;
}

export type RunnerReply =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'outputs'; readonly outputs: readonly RunnerOutput[] }
  | { readonly kind: 'failed'; readonly message: string };

export interface GraphRunner {
  /** Loads a graph in the place of the one before. */
  load(graphPath: string, weightsFolder: string, device: Device, threads: number): Promise<void>;
  /** `ids` [rows, length] through the loaded graph. */
  run(rows: readonly (readonly number[])[], outputs: readonly string[]): Promise<readonly RunnerOutput[]>;
  close(): void;
}

/**
 * Starts the process. Every call throws an Error in the runtime's own words where the runtime refuses, the process
 * ends, or `timeoutMs` have passed since its start.
 */
export function openRunner(timeoutMs: number): GraphRunner {
  const child = fork(new URL('./onnx-export-runner-main.js', import.meta.url), [], {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  let waiting: { resolve(reply: RunnerReply): void; reject(error: Error): void } | null = null;
  let ended: Error | null = null;
  const end = (reason: string): void => {
    ended ??= new Error(reason);
    waiting?.reject(ended);
    waiting = null;
    clearTimeout(timer);
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => end(`took longer than ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
  child.on('message', (reply: RunnerReply) => {
    waiting?.resolve(reply);
    waiting = null;
  });
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) => end(`its process ended with ${signal ?? `code ${code}`}`));
  const ask = async (request: RunnerRequest): Promise<RunnerReply> => {
    if (ended !== null) throw ended;
    const reply = await new Promise<RunnerReply>((resolve, reject) => {
      waiting = { resolve, reject };
      child.send(request);
    });
    if (reply.kind === 'failed') throw new Error(reply.message);
    return reply;
  };
  return {
    async load(graphPath, weightsFolder, device, threads) {
      await ask({ kind: 'load', graphPath, weightsFolder, device, threads });
    },
    async run(rows, outputs) {
      const length = rows[0]?.length ?? 0;
      const reply = await ask({
        kind: 'run',
        rows: rows.length,
        length,
        ids: Int32Array.from(rows.flat()),
        outputs,
      });
      return reply.kind === 'outputs' ? reply.outputs : [];
    },
    close: () => end('closed'),
  };
}
