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
  /** The rows are [rowStart, rowEnd) of this record batch. */
  readonly batch: SequenceBatch;
  readonly rowStart: number;
  readonly rowEnd: number;
}

/**
 * The tokens of two files or more side by side, in file order, however each is cut into record batches. All the spans
 * given together cover the same rows; one record batch a file is in memory. Throws a usage error (`not-comparable`)
 * that names the first row and position at which a file holds other tokens than the first one, or the row at which
 * one of them ends.
 */
export async function* alignRows<const Files extends readonly [NamedFile, ...NamedFile[]]>(
  ...files: Files
): AsyncGenerator<{ readonly [K in keyof Files]: TokenSpan }> {
  const cursors = files.map(({ file }) => createCursor(file));
  const refuse = (other: NamedFile, where: string) =>
    usageError(
      'not-comparable',
      `${files[0].path} and ${other.path} hold different sequences: ${where}; compare runs with one tokenizer and the same sequence settings`,
    );
  try {
    for (;;) {
      const places: Place[] = [];
      const ended: NamedFile[] = [];
      for (const [i, cursor] of cursors.entries()) {
        const place = await cursor.current();
        if (place !== undefined) places.push(place);
        else ended.push(files[i] ?? files[0]);
      }
      const [first] = places;
      if (first === undefined) return;
      const [short] = ended;
      if (short !== undefined) {
        const other = short === files[0] ? files.find((file) => !ended.includes(file)) : short;
        throw refuse(other ?? short, `${short.path} ends before row ${first.batch.sequenceIds[first.row]}`);
      }
      const rows = Math.min(...places.map(({ batch, row }) => rowsOf(batch) - row));
      for (const [i, place] of places.entries()) {
        const where = i === 0 ? undefined : firstDifference(first, place, rows);
        if (where !== undefined) throw refuse(files[i] ?? files[0], where);
      }
      // One span a file, in the order of the files: what the mapped type says and `map` cannot.
      yield places.map((place) => spanOf(place, rows)) as unknown as { [K in keyof Files]: TokenSpan };
      for (const cursor of cursors) cursor.advance(rows);
    }
  } finally {
    for (const cursor of cursors) await cursor.close();
  }
}

interface Place {
  readonly batch: SequenceBatch;
  readonly row: number;
}

/** Rows of a file, left to be taken in any number at a time. */
function createCursor(file: SequenceFile) {
  const batches = file.batches()[Symbol.asyncIterator]();
  let batch: SequenceBatch | undefined;
  let row = 0;
  return {
    /** The first row not yet taken; undefined at the end. */
    async current(): Promise<Place | undefined> {
      while (batch === undefined || row >= rowsOf(batch)) {
        const next = await batches.next();
        if (next.done === true) return undefined;
        batch = next.value;
        row = 0;
      }
      return { batch, row };
    },
    advance(rows: number) {
      row += rows;
    },
    close: () => batches.return?.(),
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
  return { tokens: end - start, columns, batch: place.batch, rowStart: place.row, rowEnd: place.row + rows };
}
