/**
 * Small shards with bytes flipped, overwritten or cut off, seeded: whatever comes out is documents, quarantined
 * rows or a typed error, within time and memory, and every row of the shard is accounted for once.
 */
import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { codecsReady } from '#tokensieve/corpus/parquet-codec.js';
import { openColumn } from '#tokensieve/corpus/parquet-column.js';
import { readFooter } from '#tokensieve/corpus/parquet-footer.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';
import { memoryStorage } from './memory-storage.js';
import { readRows } from './read.js';
import { webRows, writtenParquet } from './written-parquet.js';

const RUNS = Number(process.env['MUTATIONS'] ?? 150);
const MAX_MS = 5000;

/** mulberry32: the same mutations on every machine. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

function mutated(bytes: Buffer, seed: number): Buffer {
  const draw = random(seed);
  if (draw(8) === 0) return bytes.subarray(0, draw(bytes.length));
  const copy = Buffer.from(bytes);
  for (let i = 1 + draw(4); i > 0; i--) {
    // Half of the changes hit the last tenth, where a small parquet file has its footer.
    const at = draw(2) === 0 ? draw(copy.length) : copy.length - 1 - draw(Math.ceil(copy.length / 10));
    if (draw(2) === 0) copy[at] ^= 1 << draw(8);
    else copy[at] = INTERESTING[draw(INTERESTING.length)];
  }
  return copy;
}

/** What came out, in a word. Anything but a typed error is thrown on. */
async function outcome(path: string, bytes: Buffer, text: string): Promise<string> {
  const storage = memoryStorage({ [path]: bytes });
  try {
    const rows = await readRows(storage, path, { text, keep: ['url', 'n', 'tags'] });
    let next = 0;
    for (const row of rows) {
      // JSON lines may have blank lines; parquet rows follow each other without gaps.
      if (path.endsWith('.parquet')) expect(row.row).toBe(next);
      else expect(row.row).toBeGreaterThanOrEqual(next);
      next = row.row + (row.kind === 'document' ? 1 : (row.rows ?? 0));
      if (row.kind === 'document') expect(Buffer.byteLength(row.text)).toBe(row.textBytes);
    }
    return rows.every(({ kind }) => kind === 'document') ? 'documents' : 'quarantine';
  } catch (error) {
    if (!(error instanceof TokensieveError)) throw error;
    expect(error.message).not.toContain('\n');
    return 'error';
  }
}

/** Every column through the path of kept columns, nested ones too. */
async function readColumns(path: string, bytes: Buffer): Promise<void> {
  const storage = memoryStorage({ [path]: bytes });
  try {
    const footer = await readFooter(storage, path);
    for (const group of footer.rowGroups) {
      for (const field of footer.fields) {
        const { values } = await openColumn(storage, footer, group, field).next(Math.min(group.rows, 1000));
        JSON.stringify(values);
      }
    }
  } catch (error) {
    if (!(error instanceof TokensieveError)) throw error;
  }
}

/** `text` is null where no column holds text: then only columns are read. */
const shards: [name: string, path: string, text: string | null, bytes: () => Buffer][] = [];
const written: Buffer[] = [];
beforeAll(async () => {
  await codecsReady();
  const rows = webRows(40).map((row) => ({ ...row, tags: ['a', `b${row.n}`] }));
  for (const [compression, useDataPageV2] of [
    ['SNAPPY', false],
    ['GZIP', true],
    ['UNCOMPRESSED', false],
  ] as const) {
    const text = { type: 'UTF8', compression };
    const fields = {
      url: text,
      text,
      n: { type: 'INT64', compression, optional: true },
      tags: { type: 'UTF8', repeated: true } as never,
    };
    written.push(await writtenParquet(fields, rows, { rowGroupSize: 20, pageSize: 5, useDataPageV2 }));
  }
});
for (const [i, name] of ['snappy', 'gzip, version 2', 'uncompressed'].entries()) {
  shards.push([`parquetjs, ${name}`, 'a.parquet', 'text', () => written[i]]);
}
for (const [file, text] of [
  ['nemotron_cc_example.parquet', 'text'],
  ['hyparquet/brotli_compressed.parquet', 'c1'],
  ['hyparquet/lz4_raw_compressed.parquet', 'c1'],
  ['hyparquet/dictionary_offset_indexed.parquet', 'country'],
  ['hyparquet/delta_length_byte_array.parquet', 'FRUIT'],
  ['apache-parquet-testing/data/nested_maps.snappy.parquet', null],
  ['apache-parquet-testing/data/datapage_v2.snappy.parquet', 'a'],
  ['apache-parquet-testing/data/delta_encoding_optional_column.parquet', 'c_salutation'],
  ['apache-parquet-testing/data/byte_stream_split.zstd.parquet', null],
] as const) {
  if (hasSharedData && existsSync(`${sharedData}parquet/${file}`)) {
    shards.push([file, 'a.parquet', text, () => readFileSync(`${sharedData}parquet/${file}`)]);
  }
}
const lines = webRows(60)
  .map((row) => `${JSON.stringify(row)}\n`)
  .join('');
shards.push(['JSON lines', 'a.jsonl', 'text', () => Buffer.from(lines)]);
shards.push(['JSON lines, gzip', 'a.jsonl.gz', 'text', () => gzipSync(lines)]);
shards.push([
  'JSON lines, zstd',
  'a.jsonl.zst',
  'text',
  () => readFileSync(new URL('../../fixtures/jsonl/pages.jsonl.zst', import.meta.url)),
]);

describe('mutated shards', () => {
  it.each(shards)(
    '%s',
    async (_, path, text, bytes) => {
      const whole = bytes();
      if (text !== null) expect(await outcome(path, whole, text)).not.toBe('error');
      const outcomes: Record<string, number> = {};
      let slowest = 0;
      for (let seed = 0; seed < RUNS; seed++) {
        const shard = mutated(whole, seed);
        const started = performance.now();
        const found = text === null ? 'columns' : await outcome(path, shard, text);
        if (path.endsWith('.parquet')) await readColumns(path, shard);
        slowest = Math.max(slowest, performance.now() - started);
        outcomes[found] = (outcomes[found] ?? 0) + 1;
      }
      expect(slowest).toBeLessThan(MAX_MS);
      // The mutations do break things: not everything reads.
      expect(outcomes['documents'] ?? 0).toBeLessThan(RUNS);
      expect(process.resourceUsage().maxRSS / 1024).toBeLessThan(1024);
    },
    120_000,
  );
});
