import { fatalError } from '../errors.js';
import { rowsOf, type SequenceBatch, type TokenColumn, tokensOf } from './sequence-batch.js';
import { canonicalizeNaN } from './token-values.js';

/**
 * A record batch is closed before the row that would take it beyond one of these. The rule sees rows only, so
 * record batches do not depend on how a caller cuts its batches. 64k tokens are about 1 MB of a scored file.
 */
export const MAX_TOKENS = 1 << 16;
export const MAX_ROWS = 1 << 16;
export const MAX_SEGMENTS = 1 << 16;

/** Longest row that a file can hold, in tokens. */
export const MAX_ROW_TOKENS = 1 << 24;

export interface SequenceBuffer {
  /** Copies rows from `row` on until one does not fit; returns the first row not copied. */
  append(batch: SequenceBatch, row: number): number;
  /** The rows so far, as views that the next `append` overwrites. Empties the buffer. */
  take(): SequenceBatch;
  isEmpty(): boolean;
}

type NumberArray = Int32Array | Float32Array;

/** Room for `length` more items behind the first `used`, keeping those. */
function grow<A extends NumberArray | BigInt64Array>(array: A, used: number, length: number): A {
  if (used + length <= array.length) return array;
  const larger = new (array.constructor as new (n: number) => A)(Math.max(used + length, 2 * array.length));
  (larger as NumberArray).set(array.subarray(0, used) as NumberArray);
  return larger;
}

/** Gathers rows into record batches. `path` is named in errors. */
export function createSequenceBuffer(columns: readonly TokenColumn[], path: string): SequenceBuffer {
  let rows = 0;
  let tokens = 0;
  let segments = 0;
  let sequenceIds = new BigInt64Array(256);
  let offsets = new Int32Array(257);
  let segmentOffsets = new Int32Array(257);
  let inputIds = new Int32Array(MAX_TOKENS);
  const values = new Map(columns.map((name) => [name, new Float32Array(MAX_TOKENS)]));
  let document = new BigInt64Array(1024);
  let tokenStart = new Int32Array(1024);
  let tokenCount = new Int32Array(1024);
  let byteStart = new BigInt64Array(1024);
  let byteEnd = new BigInt64Array(1024);

  /** The first row after `from` that no longer fits behind what is here. */
  const fitting = (batch: SequenceBatch, from: number): number => {
    const token0 = (batch.offsets[from] as number) - tokens;
    const segment0 = (batch.segments.offsets[from] as number) - segments;
    let end = from;
    while (
      end < rowsOf(batch) &&
      rows + end - from < MAX_ROWS &&
      (batch.offsets[end + 1] as number) - token0 <= MAX_TOKENS &&
      (batch.segments.offsets[end + 1] as number) - segment0 <= MAX_SEGMENTS
    ) {
      end++;
    }
    return end === from && rows === 0 ? from + 1 : end; // a row beyond the limits has a record batch of its own
  };

  const copy = (batch: SequenceBatch, from: number, end: number) => {
    const count = end - from;
    const [token0, token1] = [batch.offsets[from] as number, batch.offsets[end] as number];
    const part = batch.segments;
    const [segment0, segment1] = [part.offsets[from] as number, part.offsets[end] as number];

    sequenceIds = grow(sequenceIds, rows, count);
    offsets = grow(offsets, rows + 1, count);
    segmentOffsets = grow(segmentOffsets, rows + 1, count);
    sequenceIds.set(batch.sequenceIds.subarray(from, end), rows);
    for (let i = 1; i <= count; i++) {
      offsets[rows + i] = tokens + (batch.offsets[from + i] as number) - token0;
      segmentOffsets[rows + i] = segments + (part.offsets[from + i] as number) - segment0;
    }

    inputIds = grow(inputIds, tokens, token1 - token0);
    inputIds.set(batch.inputIds.subarray(token0, token1), tokens);
    for (const name of columns) {
      const column = grow(values.get(name) ?? new Float32Array(0), tokens, token1 - token0);
      column.set((batch.columns[name] as Float32Array).subarray(token0, token1), tokens);
      values.set(name, column);
    }

    document = grow(document, segments, segment1 - segment0);
    tokenStart = grow(tokenStart, segments, segment1 - segment0);
    tokenCount = grow(tokenCount, segments, segment1 - segment0);
    byteStart = grow(byteStart, segments, segment1 - segment0);
    byteEnd = grow(byteEnd, segments, segment1 - segment0);
    document.set(part.document.subarray(segment0, segment1), segments);
    tokenStart.set(part.tokenStart.subarray(segment0, segment1), segments);
    tokenCount.set(part.tokenCount.subarray(segment0, segment1), segments);
    byteStart.set(part.byteStart.subarray(segment0, segment1), segments);
    byteEnd.set(part.byteEnd.subarray(segment0, segment1), segments);

    rows += count;
    tokens += token1 - token0;
    segments += segment1 - segment0;
  };

  return {
    append(batch, row) {
      if (row === 0) checkShape(batch, columns, path);
      if (row >= rowsOf(batch)) return row;
      const end = fitting(batch, row);
      copy(batch, row, end);
      return end;
    },
    take() {
      const taken: SequenceBatch = {
        sequenceIds: sequenceIds.subarray(0, rows),
        offsets: offsets.subarray(0, rows + 1),
        inputIds: inputIds.subarray(0, tokens),
        columns: Object.fromEntries(columns.map((name) => [name, values.get(name)?.subarray(0, tokens)])),
        segments: {
          offsets: segmentOffsets.subarray(0, rows + 1),
          document: document.subarray(0, segments),
          tokenStart: tokenStart.subarray(0, segments),
          tokenCount: tokenCount.subarray(0, segments),
          byteStart: byteStart.subarray(0, segments),
          byteEnd: byteEnd.subarray(0, segments),
        },
      };
      for (const column of Object.values(taken.columns)) canonicalizeNaN(column);
      rows = tokens = segments = 0;
      return taken;
    },
    isEmpty: () => rows === 0,
  };
}

/** Throws a fatal error unless the batch has the columns of the file and arrays of the lengths that it says. */
function checkShape(batch: SequenceBatch, columns: readonly TokenColumn[], path: string): void {
  const refuse = (what: string): never => {
    throw fatalError('bad-batch', `${path}: a batch to be written has ${what}`);
  };
  const given = Object.keys(batch.columns);
  if (given.length !== columns.length || !columns.every((name) => given.includes(name))) {
    refuse(`columns ${given.join(', ') || 'none'}; expected ${columns.join(', ') || 'none'}`);
  }
  const tokens = tokensOf(batch);
  for (const [name, column] of Object.entries(batch.columns)) {
    if (column.length !== tokens) refuse(`${column.length} values of ${name} for ${tokens} tokens`);
  }
  const { offsets, segments } = batch;
  if (batch.sequenceIds.length !== rowsOf(batch)) {
    refuse(`${batch.sequenceIds.length} sequence ids for ${rowsOf(batch)} rows`);
  }
  if (segments.offsets.length !== offsets.length) refuse('segment offsets of another number of rows');
  if (!isOffsets(offsets, tokens)) refuse(`token offsets that do not rise from 0 to ${tokens}`);
  const count = segments.document.length;
  if (!isOffsets(segments.offsets, count)) refuse(`segment offsets that do not rise from 0 to ${count}`);
  for (const column of [segments.tokenStart, segments.tokenCount, segments.byteStart, segments.byteEnd]) {
    if (column.length !== count) refuse(`segment columns of ${count} and ${column.length} values`);
  }
  for (let row = 0; row < rowsOf(batch); row++) {
    const length = (offsets[row + 1] as number) - (offsets[row] as number);
    if (length > MAX_ROW_TOKENS) refuse(`a row of ${length} tokens; expected at most ${MAX_ROW_TOKENS}`);
  }
}

/** Whether offsets begin at 0, never fall, and end at `end`. */
export function isOffsets(offsets: Int32Array, end: number): boolean {
  if (offsets[0] !== 0 || offsets[offsets.length - 1] !== end) return false;
  for (let i = 1; i < offsets.length; i++) {
    if ((offsets[i] as number) < (offsets[i - 1] as number)) return false;
  }
  return true;
}
