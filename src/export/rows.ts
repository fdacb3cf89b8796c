import type { PartPlace } from '../dataset/part-files.js';
import type { SegmentColumns, SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { columnBuffer } from './column-buffer.js';

/** Some consecutive rows of a part as formats get them. Arrays are valid until the next rows are asked for. */
export interface ExportRows {
  readonly place: PartPlace;
  /** Row in the part of the first one. */
  readonly firstRow: number;
  /** [rows + 1], from 0. */
  readonly offsets: Int32Array;
  /** [tokens] */
  readonly inputIds: Int32Array;
  /** [tokens] Weight of a token's loss as a target; 0 where it is none. */
  readonly weights: Float32Array;
  /** [tokens] each, NaN where a token has no loss. */
  readonly columns: Readonly<Partial<Record<Exclude<TokenColumn, 'weight'>, Float32Array>>>;
  readonly segments: SegmentColumns;
  /** [rows] Ids at a row's start that rows before it have already: context, never targets here. */
  readonly repeats: Int32Array;
}

export const rowCount = ({ repeats }: ExportRows): number => repeats.length;

/** [tokens] 1 where a token is a target: where it has a loss, or, without losses, a weight. */
export function targetsOfRows({ columns, weights, offsets }: ExportRows): Float32Array {
  const [losses] = Object.values(columns);
  if (losses === undefined) return weights.map((weight) => (weight > 0 ? 1 : 0));
  const targets = Float32Array.from(losses, (loss) => (Number.isNaN(loss) ? 0 : 1));
  for (const start of offsets.subarray(0, -1)) targets[start] = 0;
  return targets;
}

/** Rows [start, end) of a batch, as views; offsets begin at 0 again. */
export function sliceBatch(batch: SequenceBatch, start: number, end: number): SequenceBatch {
  if (start === 0 && end === batch.offsets.length - 1) return batch;
  const [from, to] = [at(batch.offsets, start), at(batch.offsets, end)];
  const { segments } = batch;
  const [first, last] = [at(segments.offsets, start), at(segments.offsets, end)];
  const columns: Partial<Record<TokenColumn, Float32Array>> = {};
  for (const [name, values] of Object.entries(batch.columns))
    columns[name as TokenColumn] = values.subarray(from, to);
  return {
    sequenceIds: batch.sequenceIds.subarray(start, end),
    offsets: rebased(batch.offsets.subarray(start, end + 1)),
    inputIds: batch.inputIds.subarray(from, to),
    columns,
    segments: {
      offsets: rebased(segments.offsets.subarray(start, end + 1)),
      document: segments.document.subarray(first, last),
      tokenStart: segments.tokenStart.subarray(first, last),
      tokenCount: segments.tokenCount.subarray(first, last),
      byteStart: segments.byteStart.subarray(first, last),
      byteEnd: segments.byteEnd.subarray(first, last),
    },
  };
}

const at = (offsets: Int32Array, index: number): number => offsets[index] ?? 0;
const rebased = (offsets: Int32Array): Int32Array => offsets.map((offset) => offset - at(offsets, 0));

/**
 * The rows as one stream in which every token of the part stands once: the ids that a row repeats are left out.
 * `starts` are the places in it at which another document begins than the token before has, in this batch.
 */
export interface TokenStream {
  /** [tokens] */
  readonly ids: Int32Array;
  /** [tokens] */
  readonly weights: Float32Array;
  /** Document of the first token, where a document begins, and so on, in order. */
  readonly documents: readonly { readonly document: bigint; readonly start: number }[];
}

/** @returns a function of rows; what it gives is in memory that its next call uses again */
export function tokenStreams(): (rows: ExportRows) => TokenStream {
  const ids = columnBuffer<Int32Array>((length) => new Int32Array(length));
  const weights = columnBuffer<Float32Array>((length) => new Float32Array(length));
  return (rows) => {
    const { offsets, repeats, segments } = rows;
    const documents: { document: bigint; start: number }[] = [];
    ids.clear();
    weights.clear();
    let filled = 0;
    for (let row = 0; row < repeats.length; row++) {
      const rowStart = offsets[row] ?? 0;
      const skip = repeats[row] ?? 0;
      const [from, to] = [rowStart + skip, offsets[row + 1] ?? 0];
      ids.append(rows.inputIds.subarray(from, to));
      weights.append(rows.weights.subarray(from, to));
      const last = segments.offsets[row + 1] ?? 0;
      for (let s = segments.offsets[row] ?? 0; s < last; s++) {
        const start = segments.tokenStart[s] ?? 0;
        const end = start + (segments.tokenCount[s] ?? 0);
        // A segment of repeated ids alone says nothing new.
        if (end <= skip) continue;
        const document = segments.document[s] ?? 0n;
        if (documents.at(-1)?.document === document) continue;
        documents.push({ document, start: filled + Math.max(0, start - skip) });
      }
      filled += to - from;
    }
    return { ids: ids.view(), weights: weights.view(), documents };
  };
}
