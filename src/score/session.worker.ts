import { parentPort, workerData } from 'node:worker_threads';
import { firstLine } from '../errors.js';
import { sessionOptions } from '../model/session-options.js';
import * as ort from '../onnx/runtime.js';
import type { SessionReply, SessionRequest, SessionStart } from './session.js';

// One ONNX Runtime session in its own thread. Requests are answered in the order they come.
const start = workerData as SessionStart;
if (parentPort === null) throw new Error('session.worker must run in a worker thread');
const port = parentPort;
const reply = (message: SessionReply, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);

try {
  const session = await ort.InferenceSession.create(start.graphPath, sessionOptions(start, start));
  const run = async (request: SessionRequest): Promise<void> => {
    const dims = [request.rows, request.length];
    const feeds: Record<string, ort.Tensor> = { input_ids: new ort.Tensor('int32', request.ids, dims) };
    if (request.positions) feeds['position_ids'] = new ort.Tensor('int32', request.positions, dims);
    if (request.documents) feeds['document_ids'] = new ort.Tensor('int32', request.documents, dims);
    const outputs = await session.run(feeds);
    const loss = floats(outputs['loss']);
    const entropy = outputs['entropy'] && floats(outputs['entropy']);
    const greedy = outputs['greedy'] && floats(outputs['greedy']);
    reply(
      { kind: 'losses', id: request.id, loss, ...(entropy && { entropy }), ...(greedy && { greedy }) },
      [loss, entropy, greedy].flatMap((values) => (values ? [values.buffer] : [])),
    );
  };
  let queue: Promise<void> = Promise.resolve();
  port.on('message', (request: SessionRequest) => {
    queue = queue
      .then(() => run(request))
      .catch((error: unknown) => {
        reply({ kind: 'failed', id: request.id, message: firstLine(error) });
      });
  });
  reply({ id: null, kind: 'ready' });
} catch (error) {
  reply({ kind: 'failed', id: null, message: firstLine(error) });
}

/** The tensor's data in memory of its own, so that it can be moved to the main thread. */
function floats(tensor: ort.Tensor | undefined): Float32Array<ArrayBuffer> {
  if (!(tensor?.data instanceof Float32Array)) throw new Error('the graph gave no float32 losses');
  return new Float32Array(tensor.data);
}
