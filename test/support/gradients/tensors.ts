/** Small helpers over fp64 tensors, row-major. */
import { normals } from '../checkpoints.js';
import type { Tensor } from '../oracle/checkpoint.js';
import type { Row } from '../oracle/layers.js';

export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

export const tensor = (shape: readonly number[], data: Float64Array): Tensor => ({ shape, data });

/** Normal numbers that float32 holds exactly, so that a graph and its reference start from the same ones. */
export function randomTensor(shape: readonly number[], seed: number, deviation = 1, mean = 0): Tensor {
  const normal = normals(seed);
  const draw = (): number => Math.fround(mean + deviation * normal());
  return tensor(shape, Float64Array.from({ length: sizeOf(shape) }, draw));
}

/** Views of the last axis, one a row. */
export function rowsOf({ shape, data }: Tensor): Row[] {
  const width = shape.at(-1) ?? 1;
  return Array.from({ length: data.length / width }, (_, row) =>
    data.subarray(row * width, (row + 1) * width),
  );
}

/** Rows of one width, laid end to end under the leading sizes. */
export function fromRows(rows: readonly Row[], leading: readonly number[]): Tensor {
  const width = rows[0]?.length ?? 0;
  const data = new Float64Array(rows.length * width);
  rows.forEach((row, index) => {
    data.set(row, index * width);
  });
  return tensor([...leading, width], data);
}

/** The tensor whose entry at an index is x's entry at `source(index)`. */
export function rearranged(
  x: Tensor,
  shape: readonly number[],
  source: (index: readonly number[]) => readonly number[],
): Tensor {
  const index = shape.map(() => 0);
  const data = Float64Array.from({ length: sizeOf(shape) }, () => {
    const value = x.data[source(index).reduce((at, i, axis) => at * (x.shape[axis] ?? 1) + i, 0)];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]! += 1;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
    return value ?? Number.NaN;
  });
  return tensor(shape, data);
}
