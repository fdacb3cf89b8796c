import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '#tokensieve/onnx/graph.js';
import { weightedHead } from '#tokensieve/onnx/ops/weighted-head.js';
import { expectClose } from '../support/gradients/check.js';
import { weightedLoss } from '../support/gradients/forwards.js';
import { referenceGradients } from '../support/gradients/numeric.js';
import { randomTensor, tensor } from '../support/gradients/tensors.js';
import type { Tensor } from '../support/oracle/checkpoint.js';
import { type Outputs, runGraph } from '../support/run-graph.js';

interface HeadCase {
  readonly states: Tensor;
  readonly weight: Tensor;
  readonly targets: Int32Array;
  readonly weights: Float32Array;
}

function graphOf({ states, weight }: HeadCase, rowsPerChunk: number) {
  const [count, hiddenSize] = states.shape as [number, number];
  const vocabularySize = weight.shape[0]!;
  const g = new GraphBuilder('head');
  const rows = {
    states: g.input('states', 'float32', [count, hiddenSize]),
    targets: g.input('targets', 'int32', [count]),
    weights: g.input('weights', 'float32', [count]),
    count,
  };
  const matrix = g.input('weight', 'float32', [vocabularySize, hiddenSize]);
  const head = { weight: matrix, bias: null, hiddenSize, vocabularySize };
  const made = weightedHead(g, rows, head, rowsPerChunk);
  const loss = g.node('Cast', [made.weightedLoss], { attributes: { to: { kind: 'int', value: 1 } } });
  g.output(loss, 'loss', 'float32', []);
  g.output(made.dStates, 'd_states', 'float32', states.shape);
  g.output(made.dWeight, 'd_weight', 'float32', weight.shape);
  return g.build();
}

const run = (test: HeadCase, rowsPerChunk: number, threads = 1): Promise<Outputs> =>
  runGraph(
    graphOf(test, rowsPerChunk),
    {
      states: { data: Float32Array.from(test.states.data), dims: test.states.shape },
      weight: { data: Float32Array.from(test.weight.data), dims: test.weight.shape },
      targets: { data: test.targets, dims: [test.targets.length] },
      weights: { data: test.weights, dims: [test.weights.length] },
    },
    threads,
  );

function headCase(rows: number, hidden: number, vocabulary: number, weightOf: (row: number) => number) {
  return {
    states: randomTensor([rows, hidden], 1),
    weight: randomTensor([vocabulary, hidden], 2),
    targets: Int32Array.from({ length: rows }, (_, row) => (row * row * 7) % vocabulary),
    weights: Float32Array.from({ length: rows }, (_, row) => weightOf(row)),
  };
}

const weighings = {
  'all one': () => 1,
  'zero or one': (row: number) => (row % 3 === 1 ? 0 : 1),
  fractional: (row: number) => (row % 4) / 3,
  'one row alone': (row: number) => (row === 5 ? 0.7 : 0),
};

describe('weightedHead', () => {
  describe.each(Object.entries(weighings))('weights %s', (_, weightOf) => {
    it.each([
      [7, 5, 3],
      [45, 8, 37],
      [19, 24, 513],
    ])('agrees with fp64: %d rows of %d, %d ids', async (rows, hidden, vocabulary) => {
      const test = headCase(rows, hidden, vocabulary, weightOf);
      const inputs = [test.states, test.weight];
      const forward = weightedLoss(test.targets, test.weights);
      const [total] = forward(inputs);
      const one = tensor([], Float64Array.of(1));
      const sampled = referenceGradients(forward, inputs, [one]);
      // In one piece; chunks of which the last is padded; chunks of one row.
      for (const rowsPerChunk of [rows, 4, 1]) {
        const found = await run(test, rowsPerChunk);
        expectClose(found['loss']!.data, total!.data, 1e-6);
        for (const [index, name] of ['d_states', 'd_weight'].entries()) {
          const { at, values } = sampled[index]!;
          expectClose(
            Float32Array.from(at, (entry) => found[name]!.data[entry]!),
            values,
            1e-5,
          );
        }
      }
    });
  });

  it.each([45, 4])('gives zeros where nothing has weight, %d rows a chunk', async (rowsPerChunk) => {
    const test = headCase(45, 8, 37, () => 0);
    const found = await run(test, rowsPerChunk);
    expect(found['loss']!.data).toEqual(Float32Array.of(0));
    expect(found['d_states']!.data).toEqual(new Float32Array(45 * 8));
    expect(found['d_weight']!.data).toEqual(new Float32Array(37 * 8));
  });

  it('leaves rows of weight 0 exactly out', async () => {
    const test = headCase(45, 8, 37, weighings['zero or one']);
    const whole = await run(test, 45);
    const kept = [...test.weights.keys()].filter((row) => test.weights[row] !== 0);
    const alone = await run(
      {
        ...test,
        states: tensor(
          [kept.length, 8],
          Float64Array.from(kept.flatMap((row) => [...test.states.data.subarray(8 * row, 8 * row + 8)])),
        ),
        targets: Int32Array.from(kept, (row) => test.targets[row]!),
        weights: new Float32Array(kept.length).fill(1),
      },
      kept.length,
    );
    expect(alone['loss']).toEqual(whole['loss']);
    expect(alone['d_weight']).toEqual(whole['d_weight']);
    test.weights.forEach((weight, row) => {
      const own = whole['d_states']!.data.subarray(8 * row, 8 * row + 8);
      const compact = kept.indexOf(row);
      if (weight === 0) expect(own).toEqual(new Float32Array(8));
      else expect(own).toEqual(alone['d_states']!.data.subarray(8 * compact, 8 * compact + 8));
    });
  });

  it('keeps its gradient where the target has no probability left', async () => {
    const test: HeadCase = {
      states: tensor([2, 2], Float64Array.of(60, 0, 0, 60)),
      weight: tensor([3, 2], Float64Array.of(1, -1, 0, 0, -1, 1)),
      targets: Int32Array.of(2, 0),
      weights: Float32Array.of(1, 1),
    };
    const found = await run(test, 2);
    // softmax is one-hot to the last bit: dLogits = (1, 0, −1) and (−1, 0, 1), dStates = dLogits·W.
    expect(found['d_states']!.data).toEqual(Float32Array.of(2, -2, -2, 2));
    expect(Number.isFinite(found['loss']!.data[0])).toBe(true);
  });

  it('is the same, bit for bit, ten times on two threads', async () => {
    const test = headCase(300, 32, 1009, weighings.fractional);
    const first = await run(test, 128, 2);
    for (let again = 0; again < 10; again++) expect(await run(test, 128, 2)).toEqual(first);
  });
});
