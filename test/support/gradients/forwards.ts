/**
 * What each op of src/onnx/ops computes, in fp64, by the plain layers of the model oracle: a function from the
 * op's float inputs, in the op's own order, to its outputs. Everything that has no gradient is an argument.
 */
import type { Tensor } from '../oracle/checkpoint.js';
import * as layers from '../oracle/layers.js';
import { tokenLoss } from '../oracle/oracle.js';
import { type Rope, rotate } from '../oracle/rope.js';
import { fromRows, rearranged, rowsOf, tensor } from './tensors.js';

export type Forward = (inputs: readonly Tensor[]) => Tensor[];

const leading = (x: Tensor): readonly number[] => x.shape.slice(0, -1);

const byRow = (x: Tensor, f: (row: layers.Row, index: number) => layers.Row): Tensor =>
  fromRows(rowsOf(x).map(f), leading(x));

const sum = (a: Tensor, b: Tensor): Tensor => tensor(a.shape, layers.add(a.data, b.data));

export const linear =
  (layout: 'out-in' | 'in-out'): Forward =>
  ([x, weight, bias]) => {
    if (layout === 'out-in') return [byRow(x!, (row) => layers.linear(row, weight!, bias))];
    const shift = bias ?? tensor([weight!.shape[1]!], new Float64Array(weight!.shape[1]!));
    return [byRow(x!, (row) => layers.conv1d(row, weight!, shift))];
  };

export const add: Forward = ([a, b]) => [sum(a!, b!)];

export const multiply: Forward = ([a, b]) => [tensor(a!.shape, layers.multiply(a!.data, b!.data))];

/** x [B, …] + rows […]. */
export const addToEach: Forward = ([x, rows]) => [
  tensor(
    x!.shape,
    x!.data.map((value, i) => value + rows!.data[i % rows!.data.length]!),
  ),
];

/** By the name that configurations use. */
export const activation = (name: string): Forward => {
  const apply = layers.activation(name);
  return ([x]) => [tensor(x!.shape, apply(x!.data))];
};

export const rmsNorm =
  (epsilon: number): Forward =>
  ([x, weight]) => [byRow(x!, (row) => layers.rmsNorm(row, weight!, epsilon))];

export const layerNorm =
  (epsilon: number): Forward =>
  ([x, weight, bias]) => [byRow(x!, (row) => layers.layerNorm(row, weight!, bias!, epsilon))];

/** A norm of x + residual → [normed, sum]. */
export const skip =
  (norm: Forward): Forward =>
  ([x, residual, ...parameters]) => {
    const stream = sum(x!, residual!);
    return [...norm([stream, ...parameters]), stream];
  };

/** `positions` [B · T]. */
export const rotary =
  (rope: Rope, headSize: number, positions: Int32Array): Forward =>
  ([x]) => [byRow(x!, (row, index) => rotate(row, positions[index]!, headSize, rope))];

export interface AttentionNumbers {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly window: number | null;
  readonly scale: number;
}

/**
 * query, key, value [B, T, …]; `documents` [B · T] is constant over each document's run, or null for one a row.
 *
 * Called again with inputs of which few rows are others, as for the difference by one entry, it computes those
 * positions again that see such a row; of all others the outputs are the ones it had.
 */
export const attention = (numbers: AttentionNumbers, documents: Int32Array | null): Forward => {
  const heads = {
    query: numbers.heads,
    keyValue: numbers.kvHeads,
    size: numbers.headSize,
    window: numbers.window,
  };
  // The oracle's attention divides by √size.
  const factor = numbers.scale * Math.sqrt(numbers.headSize);
  let before: { readonly inputs: readonly layers.Row[][]; readonly out: layers.Row[] } | null = null;
  return (inputs) => {
    const [batch, length] = inputs[0]!.shape as [number, number];
    const [asked, keys, values] = inputs.map(rowsOf) as [layers.Row[], layers.Row[], layers.Row[]];
    const queries = asked.map((row) => row.map((entry) => entry * factor));
    const had = before;
    const same = (input: number, rows: layers.Row[], at: number): boolean =>
      had !== null && equal(rows[at]!, had.inputs[input]![at]!);
    const out: layers.Row[] = [];
    let start = 0;
    // Of keys and values together: the last position whose row is another than before.
    let changed = -1;
    for (let at = 0; at < batch * length; at++) {
      if (at % length === 0 || (documents !== null && documents[at] !== documents[at - 1])) start = at;
      if (!same(1, keys, at) || !same(2, values, at)) changed = at;
      const first = start + layers.firstSeen(at - start, numbers.window);
      const known = changed < first && same(0, queries, at);
      out.push(known ? had!.out[at]! : layers.attend(queries[at]!, keys, values, first, at, heads));
    }
    before ??= { inputs: [queries, keys, values], out };
    return [fromRows(out, [batch, length])];
  };
};

const equal = (a: layers.Row, b: layers.Row): boolean => {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
};

/** Query, key and value side by side in one tensor. */
export const packedAttention = (numbers: AttentionNumbers, documents: Int32Array | null): Forward => {
  const widths = [numbers.heads, numbers.kvHeads, numbers.kvHeads].map((count) => count * numbers.headSize);
  const attend = attention(numbers, documents);
  return ([x]) => {
    const rows = rowsOf(x!);
    let end = 0;
    return attend(
      widths.map((width) => {
        end += width;
        return fromRows(
          rows.map((row) => row.subarray(end - width, end)),
          leading(x!),
        );
      }),
    );
  };
};

export const embedding =
  (ids: Int32Array, shape: readonly number[]): Forward =>
  ([table]) => [
    fromRows(
      Array.from(ids, (id) => layers.embedding(table!, id)),
      shape,
    ),
  ];

export const reshape =
  (shape: readonly number[]): Forward =>
  ([x]) => [tensor(shape, x!.data)];

export const transpose =
  (permutation: readonly number[]): Forward =>
  ([x]) => {
    const shape = permutation.map((axis) => x!.shape[axis]!);
    return [
      rearranged(x!, shape, (index) => permutation.map((_, axis) => index[permutation.indexOf(axis)]!)),
    ];
  };

/** x[start:end] along an axis, as arrays slice: negative bounds count from the end. */
export const slice =
  (axis: number, start: number, end: number): Forward =>
  ([x]) => {
    const kept = Array.from({ length: x!.shape[axis]! }, (_, i) => i).slice(start, end);
    return [
      rearranged(x!, x!.shape.with(axis, kept.length), (index) => index.with(axis, kept[index[axis]!]!)),
    ];
  };

export const split =
  (widths: readonly number[], axis: number): Forward =>
  (inputs) => {
    let end = 0;
    return widths.flatMap((width) => {
      end += width;
      return slice(axis, end - width, end)(inputs);
    });
  };

/** states [n, H], head [V, H] → Σ w·(−ln softmax(h·Wᵀ)[target]), a scalar. */
export const weightedLoss =
  (targets: Int32Array, weights: Float32Array): Forward =>
  ([states, head]) => {
    const total = rowsOf(states!).reduce((sum, row, index) => {
      const weight = weights[index]!;
      return weight === 0 ? sum : sum + weight * tokenLoss(layers.linear(row, head!), targets[index]!).loss;
    }, 0);
    return [tensor([], Float64Array.of(total))];
  };
