import type { DataSetPart } from '../dataset/data-set.js';
import type { PartSlice } from './source.js';

/** One output shard: rows of consecutive parts, in global order. */
export interface PlannedShard {
  readonly index: number;
  readonly slices: readonly PartSlice[];
}

/**
 * Output shards from sizes alone: consecutive parts together as long as they fit, a part that does not fit cut into
 * even runs of rows. `cut: 'parts'` leaves parts whole, for formats that keep documents together. Pure.
 */
export function planShards(
  parts: readonly DataSetPart[],
  shardBytes: number,
  bytesPerToken: number,
  cut: 'rows' | 'parts',
): PlannedShard[] {
  const shards: PartSlice[][] = [];
  let open: PartSlice[] = [];
  let openBytes = 0;
  const close = (): void => {
    if (open.length > 0) shards.push(open);
    open = [];
    openBytes = 0;
  };
  for (const part of parts) {
    if (part.rows === 0) continue;
    const bytes = part.tokens * bytesPerToken;
    if (openBytes + bytes > shardBytes) close();
    const pieces = cut === 'rows' ? Math.min(part.rows, Math.ceil(bytes / shardBytes)) : 1;
    for (let piece = 0; piece < pieces; piece++) {
      const rowStart = Math.floor((part.rows * piece) / pieces);
      const rowEnd = Math.floor((part.rows * (piece + 1)) / pieces);
      open.push({ part, rowStart, rowEnd });
      if (pieces > 1) close();
    }
    openBytes += bytes;
    if (pieces > 1) openBytes = 0;
  }
  close();
  return shards.map((slices, index) => ({ index, slices }));
}
