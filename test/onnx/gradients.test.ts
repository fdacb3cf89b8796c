import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Value } from '#tokensieve/onnx/graph.js';
import {
  gatedSilu,
  gelu,
  geluTanh,
  quickGelu,
  relu,
  reluSquared,
  silu,
} from '#tokensieve/onnx/ops/activation.js';
import { add, addToEach, linear, multiply } from '#tokensieve/onnx/ops/dense.js';
import { embedding } from '#tokensieve/onnx/ops/embedding.js';
import { layerNorm, rmsNorm, skipLayerNorm, skipRmsNorm } from '#tokensieve/onnx/ops/norm.js';
import { rotaryTables, rotate } from '#tokensieve/onnx/ops/rotary.js';
import { reshape, slice, split, toEnd, transpose, withBatch } from '#tokensieve/onnx/ops/shape.js';
import { gradientsOf } from '#tokensieve/onnx/tape.js';
import {
  expectClose,
  expectGradients,
  feeds,
  gradientGraph,
  type OpCase,
} from '../support/gradients/check.js';
import * as forwards from '../support/gradients/forwards.js';
import { randomTensor, sizeOf, tensor } from '../support/gradients/tensors.js';
import type { Tensor } from '../support/oracle/checkpoint.js';
import { openGraph } from '../support/run-graph.js';

const random = (shape: readonly number[], seed: number, deviation = 1, mean = 0): Tensor =>
  randomTensor(shape, seed, deviation, mean);
const gains = (width: number, seed: number): Tensor => random([width], seed, 0.3, 1);

describe('linear', () => {
  const shapes = [
    [1, 1, 1],
    [5, 7, 3],
    [64, 33, 129],
    [257, 8, 40],
  ] as const;
  describe.each(['out-in', 'in-out'] as const)('with %s weights', (layout) => {
    it.each(shapes)('%d rows, %d → %d', async (rows, from, to) => {
      const weight = random(layout === 'out-in' ? [to, from] : [from, to], 2);
      for (const bias of [[], [random([to], 3)]]) {
        await expectGradients({
          forward: forwards.linear(layout),
          inputs: [random([rows, from], 1), weight, ...bias],
          build: (g, [x = '', w = '', b = null]) => [linear(g, x, w, b, layout)],
        });
      }
    });
  });
});

describe('elementwise ops', () => {
  const pair = [random([7, 13], 1), random([7, 13], 2)];
  it('add', async () => {
    const build: OpCase['build'] = (g, [a = '', b = '']) => [add(g, a, b)];
    await expectGradients({ forward: forwards.add, inputs: pair, build });
  });

  it('multiply', async () => {
    const build: OpCase['build'] = (g, [a = '', b = '']) => [multiply(g, a, b)];
    await expectGradients({ forward: forwards.multiply, inputs: pair, build });
  });

  it.each([1, 5])('addToEach, a batch of %d', async (batch) => {
    await expectGradients({
      forward: forwards.addToEach,
      inputs: [random([batch, 4, 9], 1), random([4, 9], 2)],
      build: (g, [x = '', rows = '']) => [addToEach(g, x, rows)],
    });
  });

  // Both tails and the bend between: half of the numbers spread ±1, half ±8. None is at relu's kink.
  const points = random([2, 97], 5);
  const spread = tensor(
    points.shape,
    points.data.map((x, i) => (Math.abs(x) < 1e-3 ? 0.5 : Math.fround(i < 97 ? x : 8 * x))),
  );
  it('gatedSilu', async () => {
    const up = { ...spread, data: spread.data.map((x) => Math.fround(Math.cos(3 * x) + x / 4)) };
    await expectGradients({
      forward: ([gate, other]) => {
        const [active] = forwards.activation('silu')([gate!]);
        return forwards.multiply([active!, other!]);
      },
      inputs: [spread, up],
      build: (g, [gate = '', other = '']) => [gatedSilu(g, gate, other)],
    });
  });

  it.each([
    ['silu', silu, 'silu'],
    ['gelu', gelu, 'gelu'],
    ['geluTanh', geluTanh, 'gelu_new'],
    ['relu', relu, 'relu'],
    ['reluSquared', reluSquared, 'relu2'],
    ['quickGelu', quickGelu, 'quick_gelu'],
  ] as const)('%s', async (_, op, name) => {
    await expectGradients({
      forward: forwards.activation(name),
      inputs: [spread],
      build: (g, [x = '']) => [op(g, x)],
    });
  });
});

describe('norms', () => {
  const shapes = [
    [1, 1],
    [3, 5],
    [17, 64],
    [2, 1031],
  ] as const;
  it.each(shapes)('rmsNorm and skipRmsNorm of %d rows of %d', async (rows, width) => {
    const [x, residual, weight] = [random([rows, width], 1), random([rows, width], 2), gains(width, 3)];
    await expectGradients({
      forward: forwards.rmsNorm(1e-5),
      inputs: [x, weight],
      build: (g, [a = '', w = '']) => [rmsNorm(g, a, w, 1e-5)],
    });
    for (const unused of [[], [0], [1]]) {
      const skipped: OpCase = {
        forward: forwards.skip(forwards.rmsNorm(1e-5)),
        inputs: [x, residual, weight],
        unused,
        build: (g, [a = '', r = '', w = '']) => {
          const { normed, sum } = skipRmsNorm(g, { x: a, residual: r }, w, 1e-5);
          return [normed, sum];
        },
      };
      // A sum alone does not depend on the norm's weight.
      if (unused[0] === 0) await expect(expectGradients(skipped)).rejects.toThrow(/does not reach/);
      else await expectGradients(skipped);
    }
  });

  it.each(shapes.slice(1))('layerNorm and skipLayerNorm of %d rows of %d', async (rows, width) => {
    const [x, residual] = [random([rows, width], 1, 1, 3), random([rows, width], 2)];
    const parameters = [gains(width, 3), random([width], 4)];
    await expectGradients({
      forward: forwards.layerNorm(1e-5),
      inputs: [x, ...parameters],
      build: (g, [a = '', w = '', b = '']) => [layerNorm(g, a, { weight: w, bias: b }, 1e-5)],
    });
    await expectGradients({
      forward: forwards.skip(forwards.layerNorm(1e-5)),
      inputs: [x, residual, ...parameters],
      build: (g, [a = '', r = '', w = '', b = '']) => {
        const { normed, sum } = skipLayerNorm(g, { x: a, residual: r }, { weight: w, bias: b }, 1e-5);
        return [normed, sum];
      },
    });
  });

  it('keeps to the definition where ε outweighs the row', async () => {
    await expectGradients({
      forward: forwards.rmsNorm(1e-2),
      inputs: [random([4, 24], 1, 1e-2), gains(24, 2)],
      build: (g, [a = '', w = '']) => [rmsNorm(g, a, w, 1e-2)],
    });
  });
});

describe('rotary positions', () => {
  const scale = 1.1;
  it.each([
    ['whole heads of 8', 2, 8, 8],
    ['whole heads of 6', 3, 6, 6],
    ['a quarter of heads of 16', 2, 16, 4],
    ['part of heads of 10', 3, 10, 6],
  ] as const)('turn %s', async (_, heads, headSize, dimensions) => {
    const [batch, length] = [2, 9];
    const frequencies = Array.from({ length: dimensions / 2 }, (_, i) => 0.9 ** i / (i + 1));
    const counted = Int32Array.from({ length: batch * length }, (_, i) => i % length);
    const restarting = counted.map((position, i) => (i < length ? position % 4 : position));
    for (const positions of [null, restarting]) {
      const dims = [batch, length];
      await expectGradients({
        forward: forwards.rotary({ frequencies, scale }, headSize, positions ?? counted),
        inputs: [random([batch, length, heads * headSize], 1)],
        integers: {
          ids: { data: new Int32Array(batch * length), dims },
          ...(positions === null ? {} : { positions: { data: positions, dims } }),
        },
        build: (g, [x = ''], { ids = '', positions: given = null }) => {
          const tables = rotaryTables(
            g,
            { ids, positionIds: given },
            { frequencies: Float64Array.from(frequencies), scale },
          );
          return [rotate(g, x, tables, { heads, headSize, dimensions })];
        },
      });
    }
  });
});

describe('ops that move numbers', () => {
  const x = random([4, 6, 10], 1);
  it('reshape', async () => {
    await expectGradients({
      forward: forwards.reshape([24, 10]),
      inputs: [x],
      build: (g, [a = '']) => [reshape(g, a, [-1, 10])],
    });
  });

  it('withBatch', async () => {
    await expectGradients({
      forward: forwards.reshape([4, 6, 10]),
      inputs: [random([24, 10], 1)],
      integers: { ids: { data: new Int32Array(24), dims: [4, 6] } },
      build: (g, [a = ''], { ids = '' }) => [withBatch(g, a, ids, 10)],
    });
  });

  it.each([[[0, 2, 1]], [[2, 0, 1]], [[1, 2, 0]]] as const)('transpose by %s', async (permutation) => {
    await expectGradients({
      forward: forwards.transpose(permutation),
      inputs: [x],
      build: (g, [a = '']) => [transpose(g, a, permutation)],
    });
  });

  it.each([
    [0, 1, 3],
    [1, 0, -1],
    [1, 1, toEnd],
    [2, -3, -1],
    [2, -4, toEnd],
    [0, 0, toEnd],
  ])('slice of axis %d from %d to %d', async (axis, start, end) => {
    await expectGradients({
      forward: forwards.slice(axis, start, end),
      inputs: [x],
      build: (g, [a = '']) => [slice(g, a, axis, start, end)],
    });
  });

  it.each([[[]], [[1]], [[0, 2]]])('split without gradients of pieces %s', async (unused) => {
    await expectGradients({
      forward: forwards.split([3, 6, 1], 2),
      inputs: [x],
      unused,
      build: (g, [a = '']) => split(g, a, [3, 6, 1], 2),
    });
  });
});

describe('embedding', () => {
  const lookup = (ids: Int32Array, shape: readonly number[], table: Tensor): OpCase => ({
    forward: forwards.embedding(ids, shape),
    inputs: [table],
    integers: { ids: { data: ids, dims: shape } },
    build: (g, [t = ''], { ids: given = '' }) => [embedding(g, t, given, table.shape as [number, number])],
  });

  it.each([[[11]], [[3, 7]]])('ids of shape %s, some repeated, some absent', async (shape) => {
    const ids = Int32Array.from({ length: sizeOf(shape) }, (_, i) => (i * i) % 13);
    await expectGradients(lookup(ids, shape, random([17, 5], 1)));
  });

  // ScatterND with reduction=add loses updates here. Whole numbers add up exactly in any order, others do not.
  it('adds 4096 rows onto 5 ids the same way 50 times on two threads', async () => {
    const [rows, width] = [4096, 64];
    const ids = Int32Array.from({ length: rows }, (_, i) => ((i * 2654435761) >>> 7) % 5);
    const op = lookup(ids, [rows], random([11, width], 1));
    const outputs = op.forward(op.inputs);
    const real = random([rows, width], 2);
    const whole = tensor(real.shape, real.data.map(Math.round));
    const graph = await openGraph(gradientGraph(op, outputs, [real]), 2);
    try {
      for (const cotangent of [whole, real]) {
        const exact = new Float64Array(11 * width);
        ids.forEach((id, row) => {
          for (let i = 0; i < width; i++) exact[id * width + i]! += cotangent.data[row * width + i]!;
        });
        const feed = feeds(op, [cotangent]);
        const first = (await graph.run(feed))['gradient_0']!.data;
        if (cotangent === whole) expect(Float64Array.from(first)).toEqual(exact);
        else expectClose(first, exact, 1e-5);
        const bits = Buffer.from(first.buffer);
        for (let run = 1; run < 50; run++) {
          const again = (await graph.run(feed))['gradient_0']!.data;
          expect(bits.equals(Buffer.from(again.buffer))).toBe(true);
        }
      }
    } finally {
      await graph.close();
    }
  });
});

describe('the tape', () => {
  const x = random([6, 9], 1);
  const weight = random([9, 9], 2);

  it('adds up the gradients of a value used more than once', async () => {
    await expectGradients({
      // x·Wᵀ added to x, times x.
      forward: ([a, w]) => {
        const [made] = forwards.linear('out-in')([a!, w!]);
        const [sum] = forwards.add([made!, a!]);
        return forwards.multiply([sum!, a!]);
      },
      inputs: [x, weight],
      build: (g, [a = '', w = '']) => [multiply(g, add(g, linear(g, a, w, null), a), a)],
    });
  });

  it('goes through a chain with a weight that serves twice', async () => {
    const twice = (layer: (value: Value) => Value, value: Value): Value => layer(layer(value));
    await expectGradients({
      forward: ([a, w]) => {
        const layer = (value: Tensor): Tensor =>
          forwards.activation('silu')(forwards.linear('out-in')([value, w!]))[0]!;
        return [layer(layer(a!))];
      },
      inputs: [x, weight],
      build: (g, [a = '', w = '']) => [twice((value) => silu(g, linear(g, value, w, null)), a)],
    });
  });

  it('takes a seed on a value in the middle beside one at the end', async () => {
    await expectGradients({
      forward: ([a, w]) => {
        const [middle] = forwards.linear('out-in')([a!, w!]);
        return [middle!, ...forwards.activation('gelu')([middle!])];
      },
      inputs: [x, weight],
      build: (g, [a = '', w = '']) => {
        const middle = linear(g, a, w, null);
        return [middle, gelu(g, middle)];
      },
    });
  });

  it('adds no node for what nobody wants, and leaves the record as it was', () => {
    const g = new GraphBuilder('lean', { recording: true });
    const [a, w] = [g.input('a', 'float32', [6, 9]), g.input('w', 'float32', [9, 9])];
    const y = linear(g, a, w, null);
    const seed = g.input('seed', 'float32', [6, 9]);
    const before = g.build().nodes.length;
    const recorded = g.tape?.length;
    gradientsOf(g, new Map([[y, seed]]), [y]);
    expect(g.build().nodes.length).toBe(before);
    gradientsOf(g, new Map([[y, seed]]), [w]);
    expect(g.tape?.length).toBe(recorded);
  });

  it('refuses a value that the objective does not depend on', () => {
    const g = new GraphBuilder('apart', { recording: true });
    const [a, b] = [g.input('a', 'float32', [2]), g.input('b', 'float32', [2])];
    const y = add(g, a, a);
    expect(() => gradientsOf(g, new Map([[y, a]]), [b])).toThrow(/value b does not reach the objective/);
  });

  it('records nothing unless asked to', () => {
    const g = new GraphBuilder('plain');
    add(g, g.input('a', 'float32', [2]), g.input('b', 'float32', [2]));
    expect(g.tape).toBeNull();
  });
});
