import type { SegmentColumns, SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import type { Segment } from '../sequence/sequence.js';
import type { ModelRole, ScoredSequence } from './scorer.js';

/** The token columns that scoring with these models gives, in file order. */
export function scoredColumns(roles: readonly ModelRole[], entropy: boolean): TokenColumn[] {
  const losses: TokenColumn[] = roles.map((role) => `${role}_loss` as const);
  return entropy ? [...losses, ...roles.map((role) => `${role}_entropy` as const)] : losses;
}

/** Scored sequences side by side, as the columns that the dataset room writes. */
export function toSequenceBatch(
  scored: readonly ScoredSequence[],
  roles: readonly ModelRole[],
  entropy: boolean,
): SequenceBatch {
  const offsets = new Int32Array(scored.length + 1);
  scored.forEach(({ sequence }, row) => {
    offsets[row + 1] = (offsets[row] ?? 0) + sequence.ids.length;
  });
  const tokens = offsets[scored.length] ?? 0;
  const gather = (values: (one: ScoredSequence) => Float32Array | undefined): Float32Array => {
    const column = new Float32Array(tokens);
    scored.forEach((one, row) => {
      const part = values(one);
      if (part) column.set(part, offsets[row]);
    });
    return column;
  };
  const inputIds = new Int32Array(tokens);
  scored.forEach(({ sequence }, row) => {
    inputIds.set(sequence.ids, offsets[row]);
  });
  const columns: Partial<Record<TokenColumn, Float32Array>> = {};
  for (const role of roles) {
    columns[`${role}_loss`] = gather((one) => one[role]?.loss);
    if (entropy) columns[`${role}_entropy`] = gather((one) => one[role]?.entropy);
  }
  return {
    sequenceIds: BigInt64Array.from(scored, ({ sequence }) => BigInt(sequence.id)),
    offsets,
    inputIds,
    columns,
    segments: segmentColumns(scored.map(({ sequence }) => sequence.segments)),
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
