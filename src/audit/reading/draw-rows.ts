import type { FinishedPart } from '../../dataset/finished-parts.js';
import { philox4x32, philoxKey } from '../../numbers/philox.js';

/** A row of a shard that some part read. */
export interface DrawnRow {
  readonly part: FinishedPart;
  readonly row: number;
}

/**
 * The rows of all parts in a random order that the seed decides, each once: the beginning of a Fisher–Yates shuffle
 * that remembers only the places it has moved, so that a sample of a large corpus costs no more than the sample.
 */
export function* drawRows(parts: readonly FinishedPart[], seed: number): Generator<DrawnRow> {
  const ends: number[] = [];
  for (const { manifest } of parts) {
    ends.push((ends.at(-1) ?? 0) + manifest.input.row_end - manifest.input.row_start);
  }
  const total = ends.at(-1) ?? 0;
  const key = philoxKey(seed, 'audit: documents to read');
  const words = new Uint32Array(4);
  const moved = new Map<number, number>();
  for (let i = 0; i < total; i++) {
    philox4x32(i >>> 0, Math.floor(i / 2 ** 32), 0, 0, key, words, 0);
    const uniform = ((words[0] ?? 0) * 2 ** 21 + ((words[1] ?? 0) >>> 11)) / 2 ** 53;
    const j = i + Math.floor(uniform * (total - i));
    const drawn = moved.get(j) ?? j;
    moved.set(j, moved.get(i) ?? i);
    moved.delete(i);
    const index = partOf(ends, drawn);
    const part = parts[index];
    if (part === undefined) return;
    yield { part, row: part.manifest.input.row_start + drawn - (ends[index - 1] ?? 0) };
  }
}

/** The first part that ends after the place. */
function partOf(ends: readonly number[], place: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] ?? 0) > place) high = middle;
    else low = middle + 1;
  }
  return low;
}
