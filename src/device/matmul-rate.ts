import { GraphBuilder } from '../onnx/graph.js';
import { encodeModel, toModelProto } from '../onnx/proto.js';
import * as ort from '../onnx/runtime.js';

/** Side of the square matrices: large enough for the kernels' full speed, small enough for a second. */
const SIDE = 2048;
const REPEATS = 6;

/**
 * Floating-point operations a second that this machine's matrix product reaches in ONNX Runtime, fp32 on the
 * CPU: the yardstick of estimates. Best of a few runs, about a second. Blocks the calling thread.
 */
export async function measureMatmulRate(threads: number): Promise<number> {
  const graph = new GraphBuilder('matmul-rate');
  const a = graph.input('a', 'float32', [SIDE, SIDE]);
  const b = graph.float32s('b', new Float32Array(SIDE * SIDE).fill(0.5), [SIDE, SIDE]);
  graph.output(graph.node('MatMul', [a, b]), 'c', 'float32', [SIDE, SIDE]);
  const session = await ort.InferenceSession.create(encodeModel(toModelProto(graph.build())), {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
  });
  const feeds = { a: new ort.Tensor('float32', new Float32Array(SIDE * SIDE).fill(0.25), [SIDE, SIDE]) };
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) {
    const started = performance.now();
    await session.run(feeds);
    best = Math.min(best, performance.now() - started);
  }
  return (2 * SIDE ** 3) / (best / 1000);
}
