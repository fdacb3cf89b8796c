import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readSequences } from '#tokensieve/dataset/reader.js';
import type { SequenceBatch, TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { createSequenceWriter, type SequenceWriterOptions } from '#tokensieve/dataset/writer.js';
import type { Storage } from '#tokensieve/storage/storage.js';

/** A row as plain data: what tests make, cut and compare. */
export interface Row {
  readonly id: bigint;
  readonly ids: readonly number[];
  readonly columns: Readonly<Record<string, readonly number[]>>;
  readonly segments: readonly (readonly [bigint, number, number, bigint, bigint])[];
}

export function toBatch(rows: readonly Row[], columns: readonly TokenColumn[]): SequenceBatch {
  const ends = (lengths: readonly number[]) => {
    let at = 0;
    return Int32Array.from([0, ...lengths.map((length) => (at += length))]);
  };
  const segments = rows.flatMap((row) => row.segments);
  return {
    sequenceIds: BigInt64Array.from(rows, (row) => row.id),
    offsets: ends(rows.map((row) => row.ids.length)),
    inputIds: Int32Array.from(rows.flatMap((row) => row.ids)),
    columns: Object.fromEntries(
      columns.map((name) => [name, Float32Array.from(rows.flatMap((row) => row.columns[name]!))]),
    ),
    segments: {
      offsets: ends(rows.map((row) => row.segments.length)),
      document: BigInt64Array.from(segments, (s) => s[0]),
      tokenStart: Int32Array.from(segments, (s) => s[1]),
      tokenCount: Int32Array.from(segments, (s) => s[2]),
      byteStart: BigInt64Array.from(segments, (s) => s[3]),
      byteEnd: BigInt64Array.from(segments, (s) => s[4]),
    },
  };
}

export function toRows(batch: SequenceBatch): Row[] {
  return Array.from(batch.sequenceIds, (id, row) => {
    const [start, end] = [batch.offsets[row]!, batch.offsets[row + 1]!];
    const s = batch.segments;
    const places = Array.from(
      { length: s.offsets[row + 1]! - s.offsets[row]! },
      (_, i) => s.offsets[row]! + i,
    );
    return {
      id,
      ids: [...batch.inputIds.subarray(start, end)],
      columns: Object.fromEntries(
        Object.entries(batch.columns).map(([name, values]) => [name, [...values.subarray(start, end)]]),
      ),
      segments: places.map((i) => [
        s.document[i]!,
        s.tokenStart[i]!,
        s.tokenCount[i]!,
        s.byteStart[i]!,
        s.byteEnd[i]!,
      ]),
    };
  });
}

/** Values that both precisions hold exactly, so that reading gives them back. */
const nats = fc.integer({ min: 0, max: 2047 }).map((n) => n / 64);

/** Rows that obey the rules of sequence files: one set of tokens with losses, segments that cover each row. */
export function arbitraryRows(columns: readonly TokenColumn[], maxTokens = 40): fc.Arbitrary<Row[]> {
  const row = fc.integer({ min: 0, max: maxTokens }).chain((length) =>
    fc.record({
      ids: fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: length, maxLength: length }),
      eligible: fc.array(fc.boolean(), { minLength: length, maxLength: length }),
      values: fc.array(fc.array(nats, { minLength: length, maxLength: length }), {
        minLength: columns.length,
        maxLength: columns.length,
      }),
      cut: fc.integer({ min: 0, max: length }),
      document: fc.bigInt({ min: 0n, max: 2n ** 40n }),
    }),
  );
  return fc.array(row, { maxLength: 12 }).map((rows) =>
    rows.map(({ ids, eligible, values, cut, document }, index) => ({
      id: BigInt(index),
      ids,
      columns: Object.fromEntries(
        columns.map((name, c) => [
          name,
          values[c]!.map((value, i) => (eligible[i] ? value : name === 'weight' ? 0 : Number.NaN)),
        ]),
      ),
      segments: [
        [document, 0, cut, 0n, BigInt(cut)] as const,
        [document + 1n, cut, ids.length - cut, 0n, BigInt(ids.length)] as const,
      ].filter(([, , count]) => count > 0),
    })),
  );
}

/** Writes rows, handed over in pieces that end at `cuts`, and commits. */
export async function writeRows(
  storage: Storage,
  path: string,
  rows: readonly Row[],
  options: SequenceWriterOptions,
  cuts: readonly number[] = [],
) {
  const writer = await createSequenceWriter(storage, path, options);
  const ends = [...new Set([...cuts.filter((cut) => cut < rows.length), rows.length])].sort((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    await writer.write(toBatch(rows.slice(start, end), options.columns));
    start = end;
  }
  const summary = await writer.finish();
  await writer.commit();
  return summary;
}

export async function readRows(storage: Storage, path: string): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const batch of (await readSequences(storage, path)).batches()) rows.push(...toRows(batch));
  return rows;
}

/** Runs `use` with an empty folder that is removed afterwards. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'tokensieve-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
