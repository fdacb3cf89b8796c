/** Runs an op and its gradient as a graph, and holds both to the fp64 reference. */
import { expect } from 'vitest';
import { type Graph, GraphBuilder, type Value } from '#tokensieve/onnx/graph.js';
import { gradientsOf } from '#tokensieve/onnx/tape.js';
import type { Tensor } from '../oracle/checkpoint.js';
import { type Feed, runGraph } from '../run-graph.js';
import type { Forward } from './forwards.js';
import { referenceGradients, referenceSlopes } from './numeric.js';
import { randomTensor } from './tensors.js';

export interface Integers {
  readonly data: Int32Array;
  readonly dims: readonly number[];
}

export interface OpCase {
  readonly forward: Forward;
  /** Float inputs, each of which gets a gradient. */
  readonly inputs: readonly Tensor[];
  readonly integers?: Readonly<Record<string, Integers>>;
  /** Outputs that have no cotangent, by number: none unless given. */
  readonly unused?: readonly number[];
  /** Entries of each input that are differentiated one by one, at most; 200 unless given. */
  readonly samples?: number;
  /** Adds the op to a graph that records, and returns its outputs. */
  build(
    g: GraphBuilder,
    inputs: readonly Value[],
    integers: Readonly<Record<string, Value>>,
  ): readonly Value[];
}

/** Of the largest entry; of a gradient that is far smaller than the op's others (or nothing at all), of a tenth of theirs. */
const outputTolerance = 1e-5;
const gradientTolerance = 1e-4;

const floatFeed = ({ shape, data }: Tensor): Feed => ({ data: Float32Array.from(data), dims: shape });

export async function expectGradients(op: OpCase, threads = 1): Promise<void> {
  const outputs = op.forward(op.inputs);
  const cotangents = outputs.map(({ shape }, index) =>
    op.unused?.includes(index) ? null : randomTensor(shape, 77 + index),
  );
  const graph = gradientGraph(op, outputs, cotangents);
  const found = await runGraph(graph, feeds(op, cotangents), threads);

  outputs.forEach((output, index) => {
    expectClose(found[`output_${index}`]!.data, output.data, outputTolerance);
  });
  const gradients = op.inputs.map((_, index) => found[`gradient_${index}`]!);
  expect(gradients.map(({ dims }) => dims)).toEqual(op.inputs.map(({ shape }) => shape));
  const sampled = referenceGradients(op.forward, op.inputs, cotangents, op.samples);
  const slopes = referenceSlopes(op.forward, op.inputs, cotangents);
  const largest = Math.max(...sampled.map(({ values }) => largestOf(values)));
  gradients.forEach(({ data }, input) => {
    const { at, values } = sampled[input]!;
    const scale = Math.max(largestOf(values), largest / 10);
    expectClose(
      Float32Array.from(at, (entry) => data[entry]!),
      values,
      gradientTolerance,
      scale,
    );
    for (const { direction, value } of slopes[input]!) {
      const along = direction.reduce((sum, entry, i) => sum + entry * data[i]!, 0);
      expect(Math.abs(along - value)).toBeLessThanOrEqual(gradientTolerance * scale);
    }
  });
}

/** inputs `input_i`, `cotangent_i`, the integers by name → outputs `output_i`, `gradient_i`. */
export function gradientGraph(
  op: OpCase,
  references: readonly Tensor[],
  cotangents: readonly (Tensor | null)[],
): Graph {
  const g = new GraphBuilder('gradients', { recording: true });
  const inputs = op.inputs.map(({ shape }, index) => g.input(`input_${index}`, 'float32', shape));
  const integers = Object.fromEntries(
    Object.entries(op.integers ?? {}).map(([name, { dims }]) => [name, g.input(name, 'int32', dims)]),
  );
  const outputs = op.build(g, inputs, integers);
  const seeds = new Map(
    cotangents.flatMap((cotangent, index) =>
      cotangent === null
        ? []
        : [[outputs[index]!, g.input(`cotangent_${index}`, 'float32', cotangent.shape)] as const],
    ),
  );
  const gradients = gradientsOf(g, seeds, inputs);
  outputs.forEach((output, index) => {
    g.output(output, `output_${index}`, 'float32', references[index]!.shape);
  });
  gradients.forEach((gradient, index) => {
    g.output(gradient, `gradient_${index}`, 'float32', op.inputs[index]!.shape);
  });
  return g.build();
}

export const feeds = (op: OpCase, cotangents: readonly (Tensor | null)[]): Record<string, Feed> =>
  Object.fromEntries([
    ...op.inputs.map((input, index) => [`input_${index}`, floatFeed(input)] as const),
    ...cotangents.flatMap((cotangent, index) =>
      cotangent === null ? [] : [[`cotangent_${index}`, floatFeed(cotangent)] as const],
    ),
    ...Object.entries(op.integers ?? {}),
  ]);

const largestOf = (values: Float64Array): number =>
  values.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);

/** Every entry within `tolerance` of `scale`, the reference's largest entry unless given. */
export function expectClose(
  found: ArrayLike<number>,
  reference: Float64Array,
  tolerance: number,
  scale = largestOf(reference),
): void {
  expect(found.length).toBe(reference.length);
  let worst = 0;
  let where = 0;
  reference.forEach((entry, index) => {
    const gap = Math.abs(found[index]! - entry);
    if (!(gap <= worst)) [worst, where] = [gap, index];
  });
  const message = `entry ${where}: ${found[where]} instead of ${reference[where]}`;
  expect(worst, message).toBeLessThanOrEqual(tolerance * scale);
}
