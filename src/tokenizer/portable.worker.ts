import { parentPort, workerData } from 'node:worker_threads';
import type { PoolReply, PoolRequest } from './portable.js';
import { makePortableEncoder, type PortableSource } from './portable-encoder.js';

const encode = makePortableEncoder(workerData as PortableSource);

parentPort?.on('message', ({ texts }: PoolRequest) => {
  let reply: PoolReply;
  try {
    reply = { kind: 'ids', ids: texts.map(encode) };
  } catch (error) {
    reply = { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(
    reply,
    reply.kind === 'ids' ? reply.ids.map(({ buffer }) => buffer as ArrayBuffer) : [],
  );
});
