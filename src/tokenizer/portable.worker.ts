import { parentPort, workerData } from 'node:worker_threads';
import type { PoolReply, PoolRequest } from './portable.js';
import { makePortableEncoder, type PortableSource } from './portable-encoder.js';

const encode = makePortableEncoder(workerData as PortableSource);

parentPort?.on('message', ({ texts }: PoolRequest) => {
  const ids: Int32Array<ArrayBuffer>[] = [];
  try {
    for (const text of texts) ids.push(encode(text));
    const reply: PoolReply = { kind: 'ids', ids };
    parentPort?.postMessage(
      reply,
      ids.map(({ buffer }) => buffer),
    );
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // V8's regular expressions run out of stack on a match of some eight million characters.
    const unbroken = error instanceof RangeError;
    parentPort?.postMessage({ kind: 'failed', index: ids.length, unbroken, message } satisfies PoolReply);
  }
});
