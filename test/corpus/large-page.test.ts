import { describe, expect, it } from 'vitest';
import { pageLimit } from '#tokensieve/corpus/parquet-codec.js';
import { readShard } from '#tokensieve/corpus/read-shard.js';
import { handmade, page, plainTexts } from './handmade-parquet.js';
import { memoryStorage } from './memory-storage.js';
import { plan, readOptions, readRows } from './read.js';

const shard = (texts: readonly string[]): Buffer =>
  Buffer.concat([
    ...handmade([
      {
        rows: texts.length,
        columns: [
          { name: 'text', pages: [page(texts.length, plainTexts([...texts]))], values: texts.length },
        ],
      },
    ]),
  ]);

describe('a page of books', () => {
  it('of 300 MB is read', async () => {
    const rows = 1024;
    const storage = memoryStorage({ 's.parquet': shard(Array<string>(rows).fill('x'.repeat(300_000))) });
    let bytes = 0;
    for (const row of await readRows(storage, 's.parquet'))
      bytes += row.kind === 'document' ? row.textBytes : 0;
    expect(bytes).toBe(rows * 300_000);
  }, 60_000);

  it('is bounded by half a gibibyte, by the file where that allows more, or by the setting, which the row names', async () => {
    expect([1, 2 ** 26, 2 ** 40].map((bytes) => pageLimit(bytes))).toEqual([2 ** 29, 2 ** 30, 2 ** 31 - 1]);
    const storage = memoryStorage({ 's.parquet': shard(['a'.repeat(2 ** 20), 'b']) });
    const found = [];
    const options = { ...readOptions(), maxPageBytes: 2 ** 20 };
    for await (const part of readShard(storage, await plan(storage, 's.parquet'), options))
      for await (const row of part.rows) found.push(row);
    expect(found).toEqual([
      expect.objectContaining({
        reason: 'broken-page',
        rows: 2,
        detail: expect.stringContaining('max_page_bytes'),
      }),
    ]);
  });
});
