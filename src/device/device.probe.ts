import { firstLine } from '../errors.js';
import type { Device } from '../model/prepared-model.js';
import { GraphBuilder } from '../onnx/graph.js';
import { encodeModel, toModelProto } from '../onnx/proto.js';
import * as ort from '../onnx/runtime.js';

// Runs a graph of one addition on the device named by the first argument; exit 0 when every node ran there.
const device = process.argv[2] as Device;
const graph = new GraphBuilder('probe');
const x = graph.input('x', 'float32', [4]);
graph.output(graph.node('Add', [x, x]), 'y', 'float32', [4]);

try {
  const session = await ort.InferenceSession.create(encodeModel(toModelProto(graph.build())), {
    executionProviders: [device],
    logSeverityLevel: 4,
    ...(device !== 'cpu' && { extra: { session: { disable_cpu_ep_fallback: '1' } } }),
  });
  const { y } = await session.run({ x: new ort.Tensor('float32', Float32Array.of(1, 2, 3, 4), [4]) });
  if (y?.data[3] !== 8) throw new Error(`1 + 1 gave ${String(y?.data[0])}`);
  process.stdout.write(`onnxruntime ${ort.env.versions.node ?? ort.env.versions.common}\n`);
} catch (error) {
  process.stdout.write(`${firstLine(error)}\n`);
  process.exitCode = 1;
}
