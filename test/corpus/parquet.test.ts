import { readFileSync } from 'node:fs';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { beforeAll, describe, expect, it } from 'vitest';
import { codecsReady } from '#tokensieve/corpus/parquet-codec.js';
import { readFooter } from '#tokensieve/corpus/parquet-footer.js';
import { readPages } from '#tokensieve/corpus/parquet-pages.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';
import { handmade, levelRun, page, plainTexts, struct, varint } from './handmade-parquet.js';
import { bytesRead, memoryStorage } from './memory-storage.js';
import { brief, plan, readParts, readRows, type Settings } from './read.js';
import { webRows, writtenParquet } from './written-parquet.js';

const PATH = 'shard.parquet';
const ROWS = webRows(1000);
const WEB = {
  url: { type: 'UTF8', compression: 'GZIP' },
  text: { type: 'UTF8', compression: 'GZIP' },
  n: { type: 'INT64' },
};

/** Ten row groups of ten pages of ten rows. */
let shard: Buffer;
beforeAll(async () => {
  shard = await writtenParquet(WEB, ROWS, { rowGroupSize: 100, pageSize: 10 });
  await codecsReady();
});

const storageOf = (bytes: Uint8Array) => memoryStorage({ [PATH]: bytes });
const failure = (settings: Settings, bytes: Uint8Array = shard): Promise<unknown> =>
  plan(storageOf(bytes), PATH, settings).then(
    () => null,
    (error: unknown) => error,
  );

/** Where each page's body lies: [start, end) in the file, of one column of one row group. */
async function pageBodies(bytes: Buffer, group: number, leaf: number): Promise<[number, number][]> {
  const storage = storageOf(bytes);
  const footer = await readFooter(storage, PATH);
  const chunk = footer.rowGroups[group].chunks[leaf];
  if (typeof chunk === 'string') throw new Error(chunk);
  const bodies: [number, number][] = [];
  for await (const raw of readPages(storage, footer, chunk)) {
    const at = bytes.indexOf(raw.bytes, bodies.at(-1)?.[1] ?? chunk.start);
    bodies.push([at, at + raw.bytes.length]);
  }
  return bodies;
}

/** A file that is nothing but this footer. */
function footerOf(metadata: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(metadata.length);
  return Buffer.concat([Buffer.from('PAR1'), metadata, length, Buffer.from('PAR1')]);
}

function flipped(bytes: Buffer, ...positions: number[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const at of positions) copy[at] ^= 0xff;
  return copy;
}

describe('a parquet shard', () => {
  it('gives every document with its kept columns', async () => {
    const rows = await readRows(storageOf(shard), PATH, { keep: ['url', 'n', 'absent'] });
    expect(rows).toEqual(
      ROWS.map(({ url, text, n }, row) => ({
        kind: 'document',
        row,
        text,
        textBytes: Buffer.byteLength(text),
        columns: { url, n, absent: null },
      })),
    );
  });

  it('is planned from its footer alone: one stat, two reads, not a byte more', async () => {
    const storage = storageOf(shard);
    const { rows, parts, identity } = await plan(storage, PATH, { partBytes: 1 });
    expect(rows).toBe(1000);
    expect(parts?.map(({ rowStart, rowEnd, rowGroups }) => [rowStart, rowEnd, ...rowGroups])).toEqual(
      Array.from({ length: 10 }, (_, i) => [i * 100, (i + 1) * 100, i, i + 1]),
    );
    expect(identity.footerSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(storage.stats).toHaveLength(1);
    expect(storage.reads).toHaveLength(2);
    expect(bytesRead(storage)).toBe(8 + shard.readUInt32LE(shard.length - 8));
  });

  it('costs its footer and the wanted columns of the wanted parts', async () => {
    const planned = await plan(storageOf(shard), PATH, { partBytes: 1 });
    const storage = storageOf(shard);
    const read = await readParts(storage, PATH, { partBytes: 1 }, (part) => part === 3);
    expect([...read.keys()]).toEqual([3]);
    expect(read.get(3)?.map(({ row }) => row)).toEqual(Array.from({ length: 100 }, (_, i) => 300 + i));
    const { chunks } = (await readFooter(storageOf(shard), PATH)).rowGroups[3];
    const text = chunks[1];
    if (typeof text === 'string') throw new Error(text);
    const footerBytes = 8 + shard.readUInt32LE(shard.length - 8);
    // Planning and reading each look at the footer; then one request brings the text column of one group.
    expect(storage.reads).toHaveLength(5);
    expect(storage.reads[4]).toEqual([PATH, text.start, text.end]);
    expect(bytesRead(storage)).toBe(2 * footerBytes + text.end - text.start);
    expect(planned.parts?.[3].textBytes).toBe(text.uncompressedBytes);
  });

  it('closes a part when the next group would pass the target', async () => {
    const one = (await plan(storageOf(shard), PATH, { partBytes: 1 })).parts ?? [];
    const partBytes = one[0].textBytes + one[1].textBytes + one[2].textBytes;
    const { parts, textBytes } = await plan(storageOf(shard), PATH, { partBytes });
    expect(parts?.[0].rowGroups).toEqual([0, 3]);
    expect(parts?.every((part) => part.textBytes <= partBytes)).toBe(true);
    expect(parts?.reduce((sum, part) => sum + part.textBytes, 0)).toBe(textBytes);
    expect(parts?.at(-1)?.rowEnd).toBe(1000);
  });

  it('is refused when it changed after it was planned', async () => {
    const objects: Record<string, Uint8Array> = { [PATH]: shard };
    const storage = memoryStorage(objects);
    const { readShard } = await import('#tokensieve/corpus/read-shard.js');
    const { readOptions } = await import('./read.js');
    const planned = await plan(storage, PATH);
    objects[PATH] = await writtenParquet(WEB, ROWS.slice(1), { rowGroupSize: 100 });
    await expect(
      readShard(storage, planned, readOptions())[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject({ code: 'shard-changed' });
  });
});

describe.skipIf(!hasSharedData)('the real shards', () => {
  it.each([0, 1, 2, 3])('shard %i gives the texts that hyparquet reads', async (i) => {
    const path = `${sharedData}shards/mathweb-0000${i}-of-00004.parquet`;
    const rows = await readRows(localStorage(), path, { keep: ['url', 'metadata'] });
    const file = await asyncBufferFromFile(path);
    const expected = await parquetReadObjects({ file, compressors, columns: ['text', 'url', 'metadata'] });
    expect(expected.length).toBeGreaterThan(2000);
    expect(
      rows.map((row) => row.kind === 'document' && [row.text, row.columns['url'], row.columns['metadata']]),
    ).toEqual(expected.map(({ text, url, metadata }) => [text, url, metadata]));
  });
});

describe('what is broken is quarantined alone', () => {
  it('a page of the text: exactly its rows', async () => {
    const [start, end] = (await pageBodies(shard, 4, 1))[6];
    const rows = await readRows(storageOf(flipped(shard, start, end - 6)), PATH, { keep: ['n'] });
    const broken = rows.filter((row) => row.kind === 'quarantined');
    expect(broken).toMatchObject([{ row: 460, rows: 10, reason: 'broken-page' }]);
    const documents = rows.flatMap((row) => (row.kind === 'document' ? [row] : []));
    expect(documents).toHaveLength(990);
    // The kept columns are still in step behind the break.
    for (const { row, text, columns } of documents)
      expect([text, columns['n']]).toEqual([ROWS[row].text, row]);
  });

  it('a page of a kept column: its values are null and said to be lost', async () => {
    const [start, end] = (await pageBodies(shard, 2, 0))[9];
    const rows = await readRows(storageOf(flipped(shard, start, end - 6)), PATH, { keep: ['url', 'n'] });
    expect(rows.map((row) => row.kind)).toEqual(ROWS.map(() => 'document'));
    rows.forEach((row, i) => {
      if (row.kind !== 'document') return;
      const lost = i >= 290 && i < 300;
      expect(row.columns).toEqual({ url: lost ? null : ROWS[i].url, n: i });
      expect(row.lost).toEqual(lost ? ['url'] : undefined);
    });
  });

  it('a page header: the rest of its row group, and the next group is whole', async () => {
    const bodies = await pageBodies(shard, 7, 1);
    const afterSecondPage = bodies[1][1];
    const rows = await readRows(storageOf(flipped(shard, afterSecondPage, afterSecondPage + 1)), PATH);
    expect(rows.filter((row) => row.kind === 'quarantined')).toMatchObject([
      { row: 720, rows: 80, reason: 'broken-row-group' },
    ]);
    expect(rows).toHaveLength(921);
    expect(rows[721]).toMatchObject({ row: 800, text: ROWS[800].text });
  });

  it('a column chunk that claims bytes outside the file: its row group', async () => {
    const group = (start: number, lies = {}) => ({
      rows: 2,
      columns: [{ name: 'text', pages: [page(2, plainTexts([`a${start}`, `b${start}`]))], values: 2, lies }],
    });
    const bytes = Buffer.concat(
      handmade([group(0), group(2, { 9: 2n ** 40n }), group(4, { 7: -5 }), group(6)]),
    );
    expect((await readRows(storageOf(bytes), PATH)).map(brief)).toEqual([
      '0:a0',
      '1:b0',
      '2+2 broken-row-group',
      '4+2 broken-row-group',
      '6:a6',
      '7:b6',
    ]);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['no footer', Buffer.from('PAR1 some bytes but no end')],
    [
      'a footer longer than the file',
      Buffer.concat([Buffer.alloc(20), Buffer.of(255, 255, 0, 0), Buffer.from('PAR1')]),
    ],
    ['a varint of a megabyte', footerOf(Buffer.concat([Buffer.of(0x16), Buffer.alloc(2 ** 20, 0xff)]))],
    ['a list of two billion', footerOf(Buffer.of(0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0))],
    [
      'a list of a million empty structs, often',
      footerOf(
        Buffer.alloc(2 ** 23, Buffer.concat([Buffer.of(0x19, 0xfc), varint(2 ** 20), Buffer.alloc(2 ** 20)])),
      ),
    ],
    ['structs a million deep', footerOf(Buffer.alloc(2 ** 20, 0x1c))],
    [
      'schema groups a thousand deep',
      footerOf(
        struct([
          [
            2,
            'structs',
            Array.from({ length: 1000 }, () => [
              [4, 'binary', 'x'],
              [5, 'i32', 1],
            ]),
          ],
          [4, 'structs', []],
        ]),
      ),
    ],
    [
      'a schema of two billion children',
      footerOf(
        struct([
          [
            2,
            'structs',
            [
              [
                [4, 'binary', 'x'],
                [5, 'i32', 2 ** 31 - 1],
              ],
            ],
          ],
          [4, 'structs', []],
        ]),
      ),
    ],
    ['a footer of zeros', Buffer.concat([Buffer.alloc(40), Buffer.of(20, 0, 0, 0), Buffer.from('PAR1')])],
  ])('a shard with %s: a typed error that names it', async (_, bytes) => {
    expect(await failure({}, bytes)).toMatchObject({
      name: 'TokensieveError',
      reach: 'input',
      code: 'broken-shard',
      message: expect.stringContaining(PATH),
    });
  });

  it('a cut-off shard', async () => {
    expect(await failure({}, shard.subarray(0, shard.length - 100))).toMatchObject({ code: 'broken-shard' });
  });

  it.each(['encrypted-footer', 'encrypted-column'])('an encrypted shard: %s', async (name) => {
    const bytes = readFileSync(new URL(`../../fixtures/parquet/${name}.parquet`, import.meta.url));
    expect(await failure({}, bytes)).toMatchObject({ reach: 'input', code: 'encrypted' });
    if (name === 'encrypted-column') {
      const rows = await readRows(storageOf(bytes), PATH, { text: 'url', keep: ['text'] });
      expect(rows).toMatchObject([
        { text: 'a', columns: { text: null }, lost: ['text'] },
        { text: 'b', lost: ['text'] },
      ]);
    }
  });
});

describe('text that cannot be used', () => {
  it('is quarantined with its row and reason', async () => {
    const pages = [
      page(1, Buffer.concat([levelRun(1, 0)])),
      page(
        5,
        Buffer.concat([
          levelRun(5, 1),
          plainTexts(['', 'fine', Buffer.of(0x61, 0xff, 0x62), Buffer.of(0xed, 0xa0, 0x80), 'x'.repeat(101)]),
        ]),
      ),
      page(2, Buffer.concat([levelRun(2, 1), plainTexts(['\ufeffBOM is text', 'x'.repeat(100)])])),
    ];
    const bytes = Buffer.concat(
      handmade([{ rows: 8, columns: [{ name: 'text', optional: true, pages, values: 8 }] }]),
    );
    const rows = await readRows(storageOf(bytes), PATH, { maxTextBytes: 100 });
    expect(rows.map(brief)).toEqual([
      '0+1 null-text',
      '1+1 empty-text',
      '2:fine',
      '3+1 not-unicode',
      '4+1 not-unicode',
      '5+1 oversized-text',
      '6:\ufeffBOM is text',
      `7:${'x'.repeat(100)}`,
    ]);
  });

  it.each([
    ['n', 'text-type', 'n" has type int64'],
    ['content', 'missing-column', 'url (string), text (string), n (int64)'],
  ])('a shard whose text column is %s is refused: %s', async (text, code, words) => {
    const error = await failure({ text });
    expect(error).toBeInstanceOf(TokensieveError);
    expect(error).toMatchObject({ reach: 'input', code, message: expect.stringContaining(words) });
  });

  it('a nested text column is refused', async () => {
    const bytes = await writtenParquet({ text: { type: 'UTF8', repeated: true } as never }, [
      { text: ['a', 'b'] },
    ]);
    expect(await failure({}, bytes)).toMatchObject({ reach: 'input', code: 'nested-text' });
  });
});

describe('numbers that lie', () => {
  const texts = plainTexts(['one', 'two']);
  const shardOf = (pages: Buffer[], rows: number | bigint = 2, codec = 0) =>
    storageOf(Buffer.concat(handmade([{ rows, columns: [{ name: 'text', pages, values: 2 }] }], codec)));

  it.each([
    ['2 GB uncompressed', 0, { uncompressed: 2 ** 31 - 1 }, 'broken-page'],
    ['2 GB uncompressed, snappy', 1, { uncompressed: 2 ** 31 - 1 }, 'broken-page'],
    ['200 MB uncompressed, snappy', 1, { uncompressed: 200 * 2 ** 20 }, 'broken-page'],
    ['200 MB uncompressed, gzip', 2, { uncompressed: 200 * 2 ** 20 }, 'broken-page'],
    ['200 MB uncompressed, brotli', 4, { uncompressed: 200 * 2 ** 20 }, 'broken-page'],
    ['200 MB uncompressed, lz4', 5, { uncompressed: 200 * 2 ** 20 }, 'broken-page'],
    ['200 MB uncompressed, zstd', 6, { uncompressed: 200 * 2 ** 20 }, 'broken-page'],
    ['200 MB uncompressed, lz4 raw', 7, { uncompressed: 200 * 2 ** 20 }, 'broken-page'],
    ['a negative size', 0, { uncompressed: -1 }, 'broken-page'],
    ['2 GB compressed', 0, { compressed: 2 ** 31 - 1 }, 'broken-row-group'],
    ['a negative compressed size', 0, { compressed: -8 }, 'broken-row-group'],
    ['two billion values', 0, { count: 2 ** 31 - 1 }, 'broken-row-group'],
    ['a negative number of values', 0, { count: -1 }, 'broken-row-group'],
  ])('a page header that claims %s allocates nothing of it', async (_, codec, lies, reason) => {
    const before = process.memoryUsage();
    const rows = await readRows(shardOf([page(2, texts, lies)], 2, codec), PATH);
    const after = process.memoryUsage();
    expect(rows).toMatchObject([{ row: 0, rows: 2, reason }]);
    expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(50e6);
  });

  it('a row group of more rows than there are bytes', async () => {
    const rows = await readRows(shardOf([page(2, texts)], 2n ** 50n), PATH, { keep: ['text'] });
    expect(rows.map(brief)).toEqual(['0:one', '1:two', `2+${2 ** 50 - 2} broken-row-group`]);
  });

  it.each([
    ['row groups of 2^63 rows', 2n ** 63n - 1n],
    ['a row group of -1 rows', -1n],
  ])('%s', async (_, rows) => {
    const bytes = Buffer.concat(
      handmade([{ rows, columns: [{ name: 'text', pages: [page(2, texts)], values: 2 }] }]),
    );
    expect(await failure({}, bytes)).toMatchObject({ code: 'broken-shard' });
  });

  it('a page with more values than its row group has rows left', async () => {
    const rows = await readRows(shardOf([page(2, texts), page(2, texts)], 3), PATH);
    expect(rows.map(brief)).toEqual(['0:one', '1:two', '2+1 broken-row-group']);
  });

  it('a text that runs past its page does not read the next one', async () => {
    const long = plainTexts(['one', 'two']);
    long.writeUInt32LE(4, 7);
    const rows = await readRows(shardOf([page(2, long), page(2, texts)], 4), PATH);
    expect(rows.map(brief)).toEqual(['0+2 broken-page', '2:one', '3:two']);
  });

  it('levels that claim a run of a billion', async () => {
    const pages = [page(2, Buffer.concat([levelRun(2 ** 30 - 1, 1), texts]))];
    const bytes = Buffer.concat(
      handmade([{ rows: 2, columns: [{ name: 'text', optional: true, pages, values: 2 }] }]),
    );
    expect((await readRows(storageOf(bytes), PATH)).map(brief)).toEqual(['0:one', '1:two']);
  });
});
