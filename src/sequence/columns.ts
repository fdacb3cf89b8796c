import type { SegmentColumns, SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import type { Segment, Sequence } from './sequence.js';

/** Values of one token column for sequence `index`, one a token. */
export type RowValues = (index: number) => ArrayLike<number>;

/** Sequences side by side, with their token columns, as the dataset room writes them. */
export function toColumns(
  sequences: readonly Sequence[],
  columns: Readonly<Partial<Record<TokenColumn, RowValues>>>,
): SequenceBatch {
  const offsets = new Int32Array(sequences.length + 1);
  sequences.forEach(({ ids }, row) => {
    offsets[row + 1] = (offsets[row] ?? 0) + ids.length;
  });
  const tokens = offsets[sequences.length] ?? 0;
  const inputIds = new Int32Array(tokens);
  sequences.forEach(({ ids }, row) => {
    inputIds.set(ids, offsets[row]);
  });
  const gather = (values: RowValues): Float32Array => {
    const column = new Float32Array(tokens);
    sequences.forEach((_, row) => {
      column.set(values(row), offsets[row]);
    });
    return column;
  };
  return {
    sequenceIds: BigInt64Array.from(sequences, ({ id }) => BigInt(id)),
    offsets,
    inputIds,
    columns: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, gather(values)])),
    segments: segmentColumns(sequences.map(({ segments }) => segments)),
  };
}

function segmentColumns(rows: readonly (readonly Segment[])[]): SegmentColumns {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((segments, row) => {
    offsets[row + 1] = (offsets[row] ?? 0) + segments.length;
  });
  const all = rows.flat();
  return {
    offsets,
    document: BigInt64Array.from(all, (s) => BigInt(s.document)),
    tokenStart: Int32Array.from(all, (s) => s.tokenStart),
    tokenCount: Int32Array.from(all, (s) => s.tokenCount),
    byteStart: BigInt64Array.from(all, (s) => BigInt(s.byteStart)),
    byteEnd: BigInt64Array.from(all, (s) => BigInt(s.byteEnd)),
  };
}
