/**
 * Gradients by their definition: central differences in fp64. With f smooth and of order one the error at this
 * step is about 1e-9: h² of truncation, 1e-16/h of rounding.
 */
import { normals } from '../checkpoints.js';
import type { Tensor } from '../oracle/checkpoint.js';
import type { Forward } from './forwards.js';
import { tensor } from './tensors.js';

const step = 1e-5;

/** Entries `at` of one input's gradient. */
export interface SampledGradient {
  readonly at: Int32Array;
  readonly values: Float64Array;
}

/**
 * Gradients of ⟨cotangents, forward(inputs)⟩ by each input: every entry of an input of at most `most`, else that
 * many, evenly spread from a seeded start. A null cotangent is an output that nothing follows from.
 */
export function referenceGradients(
  forward: Forward,
  inputs: readonly Tensor[],
  cotangents: readonly (Tensor | null)[],
  most = 200,
): SampledGradient[] {
  return inputs.map(({ shape, data }, input) => {
    const at = spread(data.length, most);
    const values = Float64Array.from(at, (entry) => {
      const along = (move: number): number => {
        const moved = Float64Array.from(data);
        moved[entry]! += move;
        return objective(forward, inputs.with(input, tensor(shape, moved)), cotangents);
      };
      return (along(step) - along(-step)) / (2 * step);
    });
    return { at, values };
  });
}

/** A unit vector over one input, and the derivative along it: a statement about every entry at the cost of one. */
export interface Slope {
  readonly direction: Float64Array;
  readonly value: number;
}

export function referenceSlopes(
  forward: Forward,
  inputs: readonly Tensor[],
  cotangents: readonly (Tensor | null)[],
  directions = 4,
): Slope[][] {
  return inputs.map(({ shape, data }, input) =>
    Array.from({ length: directions }, (_, index) => {
      const normal = normals(1000 * input + index);
      const direction = Float64Array.from(data, () => normal());
      const norm = Math.hypot(...direction);
      direction.forEach((entry, i) => {
        direction[i] = entry / norm;
      });
      const along = (move: number): number => {
        const moved = data.map((entry, i) => entry + move * direction[i]!);
        return objective(forward, inputs.with(input, tensor(shape, moved)), cotangents);
      };
      return { direction, value: (along(step) - along(-step)) / (2 * step) };
    }),
  );
}

function objective(
  forward: Forward,
  inputs: readonly Tensor[],
  cotangents: readonly (Tensor | null)[],
): number {
  let total = 0;
  forward(inputs).forEach(({ data }, output) => {
    const cotangent = cotangents[output];
    if (cotangent) for (let i = 0; i < data.length; i++) total += cotangent.data[i]! * data[i]!;
  });
  return total;
}

/** `most` different numbers below `length`, or all of them: a stride coprime to the length. */
function spread(length: number, most: number): Int32Array {
  const count = Math.min(length, most);
  const coprime = (a: number, b: number): boolean => (b === 0 ? a === 1 : coprime(b, a % b));
  let stride = Math.max(1, Math.round(length * 0.618));
  while (!coprime(length, stride)) stride++;
  return Int32Array.from({ length: count }, (_, i) => (7 + i * stride) % length);
}
