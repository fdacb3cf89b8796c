import type { Tensor } from './checkpoint.js';

/** One position's activations. Every layer here takes and gives one such row a position: slow and plain, in fp64. */
export type Row = Float64Array;

/** y = W x + b, W [out, in] as PyTorch's Linear keeps it. */
export function linear(x: Row, weight: Tensor, bias?: Tensor): Row {
  const [outputs, inputs] = weight.shape as [number, number];
  const y = new Float64Array(outputs);
  for (let o = 0; o < outputs; o++) {
    let sum = bias === undefined ? 0 : bias.data[o]!;
    for (let i = 0; i < inputs; i++) sum += weight.data[o * inputs + i]! * x[i]!;
    y[o] = sum;
  }
  return y;
}

/** y = x W + b, W [in, out] as GPT-2's Conv1D keeps it. */
export function conv1d(x: Row, weight: Tensor, bias: Tensor): Row {
  const [inputs, outputs] = weight.shape as [number, number];
  const y = Float64Array.from(bias.data);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) y[o]! += x[i]! * weight.data[i * outputs + o]!;
  }
  return y;
}

export function embedding(table: Tensor, id: number): Row {
  const width = table.shape[1]!;
  return table.data.slice(id * width, (id + 1) * width);
}

export const add = (a: Row, b: Row): Row => a.map((value, i) => value + b[i]!);
export const multiply = (a: Row, b: Row): Row => a.map((value, i) => value * b[i]!);

export function rmsNorm(x: Row, weight: Tensor, epsilon: number): Row {
  const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value, i) => (weight.data[i]! * value) / Math.sqrt(meanSquare + epsilon));
}

export function layerNorm(x: Row, weight: Tensor, bias: Tensor, epsilon: number): Row {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map(
    (value, i) => ((value - mean) / Math.sqrt(variance + epsilon)) * weight.data[i]! + bias.data[i]!,
  );
}

const tanhGelu = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

const ACTIVATIONS: Readonly<Record<string, (x: number) => number>> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  relu: (x) => Math.max(0, x),
  relu2: (x) => Math.max(0, x) ** 2,
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
};

export function activation(name: string): (x: Row) => Row {
  const f = ACTIVATIONS[name];
  if (f === undefined) throw new Error(`activation ${name}`);
  return (x) => x.map(f);
}

/** erf(x) = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!! (Abramowitz & Stegun 7.1.6): all terms of one sign. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export interface Heads {
  readonly query: number;
  readonly keyValue: number;
  readonly size: number;
  /** Positions that a query sees, itself included; null for all before it. */
  readonly window: number | null;
}

/** Causal attention over one document. queries [T][query · size]; keys, values [T][keyValue · size]. */
export const attention = (queries: Row[], keys: Row[], values: Row[], heads: Heads): Row[] =>
  queries.map((q, t) => attend(q, keys, values, firstSeen(t, heads.window), t, heads));

/** The first position that position `t` sees. */
export const firstSeen = (t: number, window: number | null): number =>
  window === null ? 0 : Math.max(0, t - window + 1);

/** One position's attention: its query over the keys and values from `first` to `last`, both seen. */
export function attend(q: Row, keys: Row[], values: Row[], first: number, last: number, heads: Heads): Row {
  const { query, keyValue, size } = heads;
  const out = new Float64Array(query * size);
  const scores = new Float64Array(last + 1 - first);
  for (let h = 0; h < query; h++) {
    const own = h * size;
    const shared = Math.floor(h / (query / keyValue)) * size;
    for (let s = first; s <= last; s++) {
      const key = keys[s]!;
      let dot = 0;
      for (let d = 0; d < size; d++) dot += q[own + d]! * key[shared + d]!;
      scores[s - first] = dot / Math.sqrt(size);
    }
    const shares = softmax(scores);
    for (let s = first; s <= last; s++) {
      const value = values[s]!;
      const p = shares[s - first]!;
      for (let d = 0; d < size; d++) out[own + d]! += p * value[shared + d]!;
    }
  }
  return out;
}

export function softmax(x: Row): Row {
  let max = -Infinity;
  for (let i = 0; i < x.length; i++) max = Math.max(max, x[i]!);
  const shares = new Float64Array(x.length);
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    shares[i] = Math.exp(x[i]! - max);
    sum += shares[i]!;
  }
  for (let i = 0; i < x.length; i++) shares[i]! /= sum;
  return shares;
}
