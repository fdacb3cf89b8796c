/**
 * Items that a hot loop takes at a time. A loop that keeps several sums has to store them after it; V8 compiles a long first
 * call in the middle of the loop, before it has seen those stores, and then falls back to slow code at each end of each
 * call (measured: four times the time of the loop). Short calls are compiled whole.
 */
const BLOCK = 1024;

/** Calls `work` for [0, length), cut into blocks, in order. */
export function inBlocks(length: number, work: (from: number, to: number) => void): void {
  for (let from = 0; from < length; from += BLOCK) work(from, Math.min(length, from + BLOCK));
}
