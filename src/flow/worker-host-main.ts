import { Worker } from 'node:worker_threads';
import type { HostReply, HostRequest } from './hosted-worker.js';

// Worker threads for the process that started this one (hosted-worker.ts).
const workers = new Map<number, Worker>();
const reply = (message: HostReply): void => {
  process.send?.(message, undefined, undefined, () => undefined);
};

process.on('message', (request: HostRequest) => {
  const { worker: id } = request;
  if (request.kind === 'post') workers.get(id)?.postMessage(request.message);
  else if (request.kind === 'end') void workers.get(id)?.terminate();
  else {
    const worker = new Worker(new URL(request.script), { execArgv: [], workerData: request.data });
    workers.set(id, worker);
    worker.on('message', (message: unknown) => reply({ kind: 'message', worker: id, message }));
    worker.on('error', (error) =>
      reply({ kind: 'error', worker: id, message: error instanceof Error ? error.message : String(error) }),
    );
    worker.on('exit', (code) => {
      workers.delete(id);
      reply({ kind: 'exit', worker: id, code });
    });
  }
});

// A stop is the parent's to carry out. When it is gone there is nobody to answer and nothing to keep, and an exit would end
// threads in the middle of native code, at which ONNX Runtime aborts with words on the parent's terminal.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
