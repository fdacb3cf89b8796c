import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Graph } from '#tokensieve/onnx/graph.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';

export interface Feed {
  readonly data: Float32Array | Int32Array;
  readonly dims: readonly number[];
}

export type Outputs = Record<string, Feed & { readonly data: Float32Array }>;

/** Runs a graph held in memory once and gives its outputs. */
export async function runGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Feed>>,
  threads = 1,
): Promise<Outputs> {
  const { run, close } = await openGraph(graph, threads);
  try {
    return await run(feeds);
  } finally {
    await close();
  }
}

export interface OpenGraph {
  run(feeds: Readonly<Record<string, Feed>>): Promise<Outputs>;
  close(): Promise<void>;
}

/** A session of a graph held in memory, for several runs. */
export async function openGraph(graph: Graph, threads = 1): Promise<OpenGraph> {
  const session = await InferenceSession.create(encodeModel(toModelProto(graph)), {
    intraOpNumThreads: threads,
  });
  return {
    async run(feeds) {
      const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [
        name,
        data instanceof Int32Array ? new Tensor('int32', data, dims) : new Tensor('float32', data, dims),
      ]);
      const results = await session.run(Object.fromEntries(tensors) as Record<string, Tensor>);
      return Object.fromEntries(
        Object.entries(results).map(([name, tensor]) => [
          name,
          { data: Float32Array.from(tensor.data as Float32Array), dims: tensor.dims },
        ]),
      );
    },
    close: () => session.release(),
  };
}
