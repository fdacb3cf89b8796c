import { Worker } from 'node:worker_threads';
import { fatalError, type TokensieveError } from '../errors.js';
import { chunksOf } from './chunks.js';
import type { PortableSource } from './portable-encoder.js';

/** What is posted to a worker, and what comes back. */
export interface PoolRequest {
  readonly texts: readonly string[];
}
export type PoolReply =
  | { readonly kind: 'ids'; readonly ids: readonly Int32Array[] }
  | {
      readonly kind: 'failed';
      /** Which of the request's texts. */
      readonly index: number;
      /** Whether it is the text's fault. */
      readonly unbroken: boolean;
      readonly message: string;
    };

/** Encodes texts, in order. */
export interface IdEngine {
  encode(texts: readonly string[]): Promise<readonly Int32Array[]>;
  close(): Promise<void>;
}

interface Job {
  readonly texts: readonly string[];
  resolve(ids: readonly Int32Array[]): void;
  reject(error: Error): void;
}

/** UTF-16 units a job: enough to hide the cost of a message, little enough to share out. */
const CHUNK_UNITS = 1 << 17;

/**
 * A pool of worker threads, each with the whole tokenizer (about 100 MB for 32,000 pieces). Threads start with
 * the first text, and do not keep the process alive when they have nothing to do.
 *
 * @param path for messages
 */
export function openPool(source: PortableSource, path: string, workers: number): IdEngine {
  const threads: PoolThread[] = [];
  const queue: Job[] = [];
  let ended: Error | null = null;

  const end = (error: Error): void => {
    ended ??= error;
    for (const job of queue.splice(0)) job.reject(ended);
    for (const thread of threads) thread.fail(ended);
  };
  const next = (): void => {
    while (queue.length > 0) {
      const thread = threads.find((candidate) => candidate.idle) ?? start();
      const job = thread === null ? undefined : queue.shift();
      if (thread === null || job === undefined) return;
      thread.run(job);
    }
  };
  const start = (): PoolThread | null => {
    if (threads.length >= workers) return null;
    const thread = openThread(source, path, next, (reason) =>
      end(fatalError('tokenizer-failed', `${path}: the tokenizer's thread ended: ${reason}`)),
    );
    threads.push(thread);
    return thread;
  };

  return {
    async encode(texts) {
      const jobs = chunksOf(texts, CHUNK_UNITS).map(
        (chunk) =>
          new Promise<readonly Int32Array[]>((resolve, reject) => {
            queue.push({ texts: chunk, resolve, reject });
          }),
      );
      if (ended === null) next();
      else end(ended);
      return (await Promise.all(jobs)).flat();
    },
    async close() {
      end(fatalError('tokenizer-closed', `${path}: the tokenizer was closed`));
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

const failure = (
  path: string,
  reply: Extract<PoolReply, { kind: 'failed' }>,
  length: number,
): TokensieveError =>
  reply.unbroken
    ? fatalError(
        'unbroken-text',
        `a text of ${length} characters holds a run of millions without a break, more than the portable tokenizer can match (${reply.message}); leave the document out, lower --max-text-bytes, or use --tokenizer-engine native`,
      )
    : fatalError('tokenizer-failed', `${path}: the portable tokenizer failed: ${reply.message}`);

interface PoolThread {
  readonly idle: boolean;
  run(job: Job): void;
  /** Rejects what it is working on. */
  fail(error: Error): void;
  close(): Promise<void>;
}

function openThread(
  source: PortableSource,
  path: string,
  onIdle: () => void,
  onEnd: (reason: string) => void,
): PoolThread {
  // A thread inherits Node's options, of which `--input-type` (node --eval) would keep it from starting.
  const worker = new Worker(new URL('./portable.worker.js', import.meta.url), {
    workerData: source,
    execArgv: [],
  });
  worker.unref();
  let current: Job | null = null;
  let closed = false;
  const finish = (): Job | null => {
    const job = current;
    current = null;
    worker.unref();
    return job;
  };
  worker.on('message', (reply: PoolReply) => {
    const job = finish();
    if (reply.kind === 'ids') job?.resolve(reply.ids);
    else job?.reject(failure(path, reply, job.texts[reply.index]?.length ?? 0));
    onIdle();
  });
  worker.on('error', (error) => onEnd(error instanceof Error ? error.message : String(error)));
  worker.on('exit', (code) => {
    if (!closed) onEnd(`exit code ${code}`);
  });
  return {
    get idle() {
      return current === null;
    },
    run(job) {
      current = job;
      worker.ref();
      worker.postMessage({ texts: job.texts } satisfies PoolRequest);
    },
    fail(error) {
      finish()?.reject(error);
    },
    async close() {
      closed = true;
      await worker.terminate();
    },
  };
}
