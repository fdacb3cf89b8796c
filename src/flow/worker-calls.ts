import '../no-telemetry.js';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Every reply names its request; `ready` comes once, `failed` ends the worker. */
export type WorkerReply =
  | { readonly id: number; readonly kind: string }
  | { readonly id: null; readonly kind: 'ready' }
  | { readonly id: number | null; readonly kind: 'failed'; readonly message: string };

/** A worker thread that answers requests by id. */
export interface WorkerCalls<Request, Reply> {
  ask(request: Request): Promise<Reply>;
  close(): Promise<void>;
}

/**
 * Starts a worker and waits until it is ready. After its first failure, or its end, every call is refused.
 * @param fail makes the error for a reason in words · @param note is told of messages of kind `note`, which answer nothing
 */
export async function openWorkerCalls<Request extends object, Reply extends WorkerReply>(
  script: URL,
  options: WorkerOptions,
  fail: (reason: string) => Error,
  note: (message: object) => void = () => undefined,
): Promise<WorkerCalls<Request, Reply>> {
  // Flags of the process (a script read from standard input, say) are not the worker's.
  const worker = new Worker(script, { execArgv: [], ...options });
  const waiting = new Map<number, { resolve(reply: Reply): void; reject(error: Error): void }>();
  let nextId = 0;
  let ended: Error | null = null;
  await new Promise<void>((resolve, reject) => {
    const end = (error: Error): void => {
      ended ??= error;
      reject(error);
      for (const { reject: rejectOne } of waiting.values()) rejectOne(error);
      waiting.clear();
    };
    worker.on('message', (reply: Reply) => {
      if (reply.kind === 'ready') resolve();
      else if (reply.kind === 'note') note(reply);
      else if (reply.kind === 'failed' && 'message' in reply) end(fail(reply.message));
      else if (reply.id !== null) {
        waiting.get(reply.id)?.resolve(reply);
        waiting.delete(reply.id);
      }
    });
    worker.on('error', (error) => end(fail(error instanceof Error ? error.message : String(error))));
    worker.on('exit', (code) => end(fail(`its thread ended with code ${code}`)));
  });
  return {
    ask(request) {
      if (ended !== null) return Promise.reject(ended);
      const id = nextId++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        worker.postMessage({ ...request, id });
      });
    },
    async close() {
      ended ??= fail('closed');
      await worker.terminate();
    },
  };
}
