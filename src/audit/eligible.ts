import {
  LOSS_COLUMNS,
  rowsOf,
  type SequenceBatch,
  type TokenColumn,
  tokensOf,
} from '../dataset/sequence-batch.js';
import { targetsOf } from '../dataset/targets.js';
import { findBadValue, whereIs } from '../dataset/token-values.js';
import { inputError } from '../errors.js';

/**
 * The eligible tokens of a record batch side by side, so that every measure is a plain loop over arrays: [count] of
 * each. Losses that the file lacks are absent. The arrays are used again for the next batch.
 */
export interface EligibleTokens {
  readonly count: number;
  readonly ids: Int32Array;
  /** Row of the batch, and position in it. */
  readonly row: Int32Array;
  readonly position: Int32Array;
  readonly losses: Readonly<Partial<Record<(typeof LOSS_COLUMNS)[number], Float32Array>>>;
  /** fp32(current) − fp32(reference); absent without both. */
  readonly excess?: Float32Array;
  /** 1 where the weight is above 0; absent without weights. */
  readonly kept?: Uint8Array;
  /** Stretches of one document, in order; they cover all eligible tokens. */
  readonly spans: readonly Span[];
}

export interface Span {
  /** Row of the document in the shard; -1 where no segment covers the tokens. */
  readonly document: number;
  /** Eligible tokens [from, to). */
  readonly from: number;
  readonly to: number;
}

export interface EligibleReader {
  /** @throws TokensieveError (input) `bad-values`, `bad-segments`: names file, row and position */
  take(batch: SequenceBatch, path: string): EligibleTokens;
}

/** Reads batches of a run's files, all of the same columns. */
export function createEligibleReader(columns: readonly TokenColumn[]): EligibleReader {
  const names = LOSS_COLUMNS.filter((name) => columns.includes(name));
  const withExcess = names.includes('reference_loss') && names.includes('current_loss');
  const withWeights = columns.includes('weight');
  let capacity = 0;
  let room = makeRoom(0, names);

  return {
    take(batch, path) {
      checkValues(batch, path);
      checkSegments(batch, path);
      if (tokensOf(batch) > capacity) {
        capacity = tokensOf(batch);
        room = makeRoom(capacity, names);
      }
      const targets = targetsOf(batch);
      const { ids, row, position, kept, source } = room;
      const spans: Span[] = [];
      let count = 0;
      const take = (document: number, r: number, from: number, to: number, start: number): void => {
        const begin = count;
        for (let i = from; i < to; i++) {
          if (targets[i] === 0) continue;
          source[count] = i;
          row[count] = r;
          position[count] = i - start;
          count++;
        }
        if (count > begin) spans.push({ document, from: begin, to: count });
      };
      const { offsets, segments } = batch;
      for (let r = 0; r < rowsOf(batch); r++) {
        const start = offsets[r] as number;
        const end = offsets[r + 1] as number;
        let at = start;
        for (let s = segments.offsets[r] as number; s < (segments.offsets[r + 1] as number); s++) {
          const from = start + (segments.tokenStart[s] as number);
          if (from > at) take(-1, r, at, from, start);
          at = from + (segments.tokenCount[s] as number);
          take(Number(segments.document[s]), r, from, at, start);
        }
        if (at < end) take(-1, r, at, end, start);
      }
      gather(batch.inputIds, source, ids, count);
      for (const name of names) {
        const [from, to] = [batch.columns[name], room.losses[name]];
        if (from !== undefined && to !== undefined) gather(from, source, to, count);
      }
      const { reference_loss: reference, current_loss: current } = room.losses;
      if (withExcess && reference !== undefined && current !== undefined) {
        for (let i = 0; i < count; i++) room.excess[i] = (current[i] as number) - (reference[i] as number);
      }
      const { weight } = batch.columns;
      if (withWeights && weight !== undefined) {
        for (let i = 0; i < count; i++) kept[i] = (weight[source[i] as number] as number) > 0 ? 1 : 0;
      }
      return {
        count,
        ids,
        row,
        position,
        losses: room.losses,
        ...(withExcess && { excess: room.excess }),
        ...(withWeights && { kept }),
        spans,
      };
    },
  };
}

function makeRoom(capacity: number, names: readonly (typeof LOSS_COLUMNS)[number][]) {
  const losses: Partial<Record<(typeof LOSS_COLUMNS)[number], Float32Array>> = {};
  for (const name of names) losses[name] = new Float32Array(capacity);
  return {
    ids: new Int32Array(capacity),
    row: new Int32Array(capacity),
    position: new Int32Array(capacity),
    source: new Int32Array(capacity),
    kept: new Uint8Array(capacity),
    excess: new Float32Array(capacity),
    losses,
  };
}

function gather<T extends Int32Array | Float32Array>(
  from: T,
  source: Int32Array,
  to: T,
  count: number,
): void {
  for (let i = 0; i < count; i++) to[i] = from[source[i] as number] as number;
}

function checkValues(batch: SequenceBatch, path: string): void {
  const bad = findBadValue(batch);
  if (bad !== undefined) {
    throw inputError(
      'bad-values',
      `${path}: ${whereIs(batch, bad.token)}: ${bad.column} is ${bad.reason}; write the file again`,
    );
  }
  const negative = batch.inputIds.findIndex((id) => id < 0);
  if (negative === -1) return;
  throw inputError(
    'bad-values',
    `${path}: ${whereIs(batch, negative)}: token id ${batch.inputIds[negative]}; expected at least 0: write the file again`,
  );
}

/** Segments of a row follow each other and end within it. */
function checkSegments({ offsets, segments, sequenceIds }: SequenceBatch, path: string): void {
  for (let r = 0; r + 1 < offsets.length; r++) {
    const length = (offsets[r + 1] as number) - (offsets[r] as number);
    let at = 0;
    for (let s = segments.offsets[r] as number; s < (segments.offsets[r + 1] as number); s++) {
      const start = segments.tokenStart[s] as number;
      const count = segments.tokenCount[s] as number;
      const document = segments.document[s] as bigint;
      if (start >= at && count >= 0 && start + count <= length && document >= 0n && document < 2n ** 53n) {
        at = start + count;
        continue;
      }
      throw inputError(
        'bad-segments',
        `${path}: row ${sequenceIds[r]}: a segment of document ${document} has tokens ${start} to ${start + count}; expected ${at} to ${length} at most: write the file again`,
      );
    }
  }
}
