import { usageError } from '../errors.js';
import type { SequenceFile } from './reader.js';
import { rowsOf, type SequenceBatch, type TokenColumn } from './sequence-batch.js';

/** A sequence file and the path that errors name it by. */
export interface NamedFile {
  readonly path: string;
  readonly file: SequenceFile;
}

/** Some rows' tokens: [tokens] of each column. */
export interface TokenSpan {
  readonly tokens: number;
  readonly columns: SequenceBatch['columns'];
}

/**
 * The tokens of two files side by side, in file order, however each is cut into record batches. Both spans of a
 * pair cover the same rows. Throws a usage error (`not-comparable`) that names the first row and position at
 * which the files hold different tokens, or the row at which one of them ends.
 */
export async function* alignRows(
  a: NamedFile,
  b: NamedFile,
): AsyncGenerator<readonly [TokenSpan, TokenSpan]> {
  const sources = [createCursor(a.file), createCursor(b.file)] as const;
  const refuse = (where: string) =>
    usageError(
      'not-comparable',
      `${a.path} and ${b.path} hold different sequences: ${where}; compare runs with one tokenizer and the same sequence settings`,
    );
  for (;;) {
    const [left, right] = [await sources[0].current(), await sources[1].current()];
    if (left === undefined || right === undefined) {
      const ended = left === undefined ? a : b;
      if (left !== right)
        throw refuse(
          `${ended.path} ends before row ${(left ?? right)?.batch.sequenceIds[(left ?? right)?.row ?? 0]}`,
        );
      return;
    }
    const rows = Math.min(rowsOf(left.batch) - left.row, rowsOf(right.batch) - right.row);
    const where = firstDifference(left, right, rows);
    if (where !== undefined) throw refuse(where);
    yield [spanOf(left, rows), spanOf(right, rows)];
    sources[0].advance(rows);
    sources[1].advance(rows);
  }
}

interface Place {
  readonly batch: SequenceBatch;
  readonly row: number;
}

/** Rows of a file, left to be taken in any number at a time. */
function createCursor(file: SequenceFile) {
  let batch: SequenceBatch | undefined;
  let row = 0;
  let index = 0;
  return {
    /** The first row not yet taken; undefined at the end. */
    async current(): Promise<Place | undefined> {
      while (batch === undefined || row >= rowsOf(batch)) {
        if (index >= file.batchCount) return undefined;
        batch = await file.readBatch(index++);
        row = 0;
      }
      return { batch, row };
    },
    advance(rows: number) {
      row += rows;
    },
  };
}

function firstDifference(a: Place, b: Place, rows: number): string | undefined {
  for (let i = 0; i < rows; i++) {
    const name = `row ${a.batch.sequenceIds[a.row + i]}`;
    const [startA, endA] = rangeOf(a, i, 1);
    const [startB, endB] = rangeOf(b, i, 1);
    for (let at = 0; at < Math.min(endA - startA, endB - startB); at++) {
      const [idA, idB] = [a.batch.inputIds[startA + at], b.batch.inputIds[startB + at]];
      if (idA !== idB) return `${name}, position ${at} is token ${idA} and ${idB}`;
    }
    if (endA - startA !== endB - startB) return `${name} has ${endA - startA} and ${endB - startB} tokens`;
  }
  return undefined;
}

/** Token range of `rows` rows from the place's row + `skip` on. */
const rangeOf = ({ batch, row }: Place, skip: number, rows: number): [number, number] => [
  batch.offsets[row + skip] as number,
  batch.offsets[row + skip + rows] as number,
];

function spanOf(place: Place, rows: number): TokenSpan {
  const [start, end] = rangeOf(place, 0, rows);
  const columns: Partial<Record<TokenColumn, Float32Array>> = {};
  for (const [name, values] of Object.entries(place.batch.columns)) {
    columns[name as TokenColumn] = values.subarray(start, end);
  }
  return { tokens: end - start, columns };
}
