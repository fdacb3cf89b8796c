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
  /** Takes no more requests and ends the thread; one inside ONNX Runtime once it has come back. */
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

export interface WorkerRules extends WorkerOptions {
  /**
   * The thread runs native code that must come back to it: ended in the middle of it, ONNX Runtime aborts the whole
   * process, since the JavaScript that it would throw into is gone.
   */
  readonly native?: boolean;
}

/**
 * Starts a worker and waits until it is ready. After its first failure, or its end, every call is refused.
 * @param fail makes the error for a reason in words · @param note is told of messages of kind `note`, which answer nothing
 */
export function openWorkerCalls<Request extends object, Reply extends WorkerReply>(
  script: URL,
  { native = false, ...options }: WorkerRules,
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
    { native, note },
  );
}

/** The calls of a thread or a process that has been started; the arguments are those of `openWorkerCalls`. */
export async function openCalls<Request extends object, Reply extends WorkerReply>(
  port: CallPort<Reply>,
  fail: (reason: string) => Error,
  { native, note = () => undefined }: { readonly native: boolean; readonly note?: (message: object) => void },
): Promise<WorkerCalls<Request, Reply>> {
  const waiting = new Map<number, { resolve(reply: Reply): void; reject(error: Error): void }>();
  // Requests that the thread has and did not answer, whether or not somebody still waits for them.
  const inThread = new Set<number>();
  let whenIdle = (): void => undefined;
  const answered = (id: number | null): void => {
    if (id !== null) inThread.delete(id);
    if (inThread.size === 0) whenIdle();
  };
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
      if (reply.kind !== 'note') answered(reply.id);
    });
    port.onError((error) => end(fail(error instanceof Error ? error.message : String(error))));
    port.onEnd((reason) => {
      end(fail(reason));
      inThread.clear();
      answered(null);
    });
  });
  return {
    ask(request) {
      if (ended !== null) return Promise.reject(ended);
      const id = nextId++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        inThread.add(id);
        port.post({ ...request, id });
      });
    },
    async close() {
      ended ??= fail('closed');
      if (native && inThread.size > 0) {
        await new Promise<void>((resolve) => {
          whenIdle = resolve;
        });
      }
      await port.end();
    },
  };
}
