/** How many of the values are above 0. */
export function countPositive(values: Float32Array): number {
  let positive = 0;
  for (let i = 0; i < values.length; i++) positive += +((values[i] as number) > 0);
  return positive;
}

/** `start` and the values, added up in order in fp64. */
export function sumFrom(start: number, values: Float32Array): number {
  let sum = start;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum;
}
