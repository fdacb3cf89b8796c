/** A run of one document's tokens within a sequence. */
export interface Segment {
  /** Row of the document in its shard. */
  readonly document: number;
  /** Position in the sequence of the segment's first token. */
  readonly tokenStart: number;
  readonly tokenCount: number;
  /** UTF-8 bytes [byteStart, byteEnd) of the document's text that the segment's tokens cover. */
  readonly byteStart: number;
  readonly byteEnd: number;
}

/**
 * One row of model input. The segments cover every position, in order. `eligible[i]` is 1 where token i is a
 * target here: it has context in this row, is not BOS, and was not counted in an earlier row. A stored loss is
 * NaN exactly where `eligible` is 0.
 */
export interface Sequence {
  /** Row in the part, from 0. */
  readonly id: number;
  /** [length] token ids. */
  readonly ids: Int32Array;
  /** [length] 1 for a target, 0 otherwise. */
  readonly eligible: Uint8Array;
  readonly segments: readonly Segment[];
}
