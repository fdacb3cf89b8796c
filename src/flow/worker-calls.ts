import '../no-telemetry.js';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Every reply names its request; `ready` comes once, `failed` ends the worker. */
export type WorkerReply =
  | { readonly id: number; readonly kind: string }
  | { readonly id: null; readonly kind: 'ready' }
  | { readonly id: number | null; readonly kind: 'failed'; readonly message: string };

/** A worker thread, or a process, that answers requests by id. */
export interface WorkerCalls<Request, Reply> {
  ask(request: Request): Promise<Reply>;
  close(): Promise<void>;
}

/** What answers: a thread or a process. */
export interface CallPort<Reply> {
  onReply(reply: (message: Reply) => void): void;
  onError(error: (cause: unknown) => void): void;
  /** Told in words that it has ended. */
  onEnd(ended: (reason: string) => void): void;
  post(message: object): void;
  end(): Promise<void>;
}

/**
 * Starts a worker and waits until it is ready. After its first failure, or its end, every call is refused.
 * @param fail makes the error for a reason in words · @param note is told of messages of kind `note`, which answer nothing
 */
export function openWorkerCalls<Request extends object, Reply extends WorkerReply>(
  script: URL,
  options: WorkerOptions,
  fail: (reason: string) => Error,
  note: (message: object) => void = () => undefined,
): Promise<WorkerCalls<Request, Reply>> {
  // Flags of the process (a script read from standard input, say) are not the worker's.
  const worker = new Worker(script, { execArgv: [], ...options });
  return openCalls<Request, Reply>(
    {
      onReply: (reply) => worker.on('message', reply),
      onError: (error) => worker.on('error', error),
      onEnd: (ended) => worker.on('exit', (code) => ended(`its thread ended with code ${code}`)),
      post: (message) => worker.postMessage(message),
      end: async () => {
        await worker.terminate();
      },
    },
    fail,
    note,
  );
}

/** The calls of a thread or a process that has been started; the arguments are those of `openWorkerCalls`. */
export async function openCalls<Request extends object, Reply extends WorkerReply>(
  port: CallPort<Reply>,
  fail: (reason: string) => Error,
  note: (message: object) => void = () => undefined,
): Promise<WorkerCalls<Request, Reply>> {
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
    port.onReply((reply) => {
      if (reply.kind === 'ready') resolve();
      else if (reply.kind === 'note') note(reply);
      else if (reply.kind === 'failed' && 'message' in reply) end(fail(reply.message));
      else if (reply.id !== null) {
        waiting.get(reply.id)?.resolve(reply);
        waiting.delete(reply.id);
      }
    });
    port.onError((error) => end(fail(error instanceof Error ? error.message : String(error))));
    port.onEnd((reason) => end(fail(reason)));
  });
  return {
    ask(request) {
      if (ended !== null) return Promise.reject(ended);
      const id = nextId++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        port.post({ ...request, id });
      });
    },
    async close() {
      ended ??= fail('closed');
      await port.end();
    },
  };
}
