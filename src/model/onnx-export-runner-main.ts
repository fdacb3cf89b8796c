import { firstLine } from '../errors.js';
import * as ort from '../onnx/runtime.js';
import type { RunnerReply, RunnerRequest } from './onnx-export-runner.js';
import { sessionOptions } from './session-options.js';

// Loads graphs of an export and runs them for the process that started this one: what a graph does to the runtime, it does here.
let session: ort.InferenceSession | null = null;

async function answer(request: RunnerRequest): Promise<RunnerReply> {
  if (request.kind === 'load') {
    await session?.release();
    session = null; // Before the next takes its memory.
    session = await ort.InferenceSession.create(request.graphPath, {
      ...sessionOptions(request, request),
      logSeverityLevel: 4,
    });
    return { kind: 'loaded' };
  }
  if (session === null) throw new Error('no graph is loaded');
  const ids = new ort.Tensor('int32', request.ids, [request.rows, request.length]);
  const results = await session.run({ input_ids: ids }, [...request.outputs]);
  const outputs = request.outputs.map((name) => {
    const { dims = [], data } = results[name] ?? {};
    return { dims: [...dims], data: numbers(data) };
  });
  return { kind: 'outputs', outputs };
}

function numbers(data: unknown): Float32Array | Float64Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Float64Array.from(data, Number);
  if (ArrayBuffer.isView(data) && !(data instanceof DataView)) return Float64Array.from(data as Int32Array);
  throw new Error('the graph gave no numbers');
}

process.on('message', (request: RunnerRequest) => {
  answer(request)
    .catch((error: unknown): RunnerReply => ({ kind: 'failed', message: firstLine(error) }))
    .then((reply) => process.send?.(reply))
    .catch(() => process.exit(1));
});
process.on('disconnect', () => process.exit(0));
