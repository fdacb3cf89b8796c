import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { tokenFinder } from '#tokensieve/audit/reading/document-tokens.js';
import { shardTexts } from '#tokensieve/audit/reading/shard-texts.js';
import { textDigest } from '#tokensieve/dataset/documents.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { createSequenceWriter } from '#tokensieve/dataset/writer.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { webRows, writtenParquet } from '../corpus/written-parquet.js';
import { temporaryFolder } from '../support/quickstart.js';

/** The disk, and how many bytes were read of it. */
function counting(): { readonly storage: Storage; bytes(): number } {
  const storage = localStorage();
  let bytes = 0;
  return {
    storage: {
      ...storage,
      async readRange(path, start, end) {
        bytes += end - start;
        return storage.readRange(path, start, end);
      },
    },
    bytes: () => bytes,
  };
}

describe('what a sample reads', () => {
  const folder = temporaryFolder();

  describe('of a sequence file', () => {
    const [documents, length] = [2000, 1000];
    const path = join(folder, 'large.arrow');

    // A document a row, and every tenth one in two rows that share 100 ids.
    beforeAll(async () => {
      const writer = await createSequenceWriter(localStorage(), path, {
        columns: ['reference_loss', 'current_loss', 'weight'],
        lossPrecision: 'fp32',
        compression: 'none',
        metadata: {},
      });
      let id = 0n;
      for (let document = 0; document < documents; document++) {
        for (const from of document % 10 === 0 ? [0, length - 100] : [0]) {
          const ids = Int32Array.from({ length }, (_, i) => document * 10_000 + from + i);
          const losses = Float32Array.from({ length }, (_, i) =>
            i === 0 || (from > 0 && i < 100) ? Number.NaN : (from + i) / 1000,
          );
          await writer.write({
            sequenceIds: BigInt64Array.of(id++),
            offsets: Int32Array.of(0, length),
            inputIds: ids,
            columns: {
              reference_loss: losses,
              current_loss: losses,
              weight: losses.map((loss) => (Number.isNaN(loss) ? 0 : 1)),
            },
            segments: {
              offsets: Int32Array.of(0, 1),
              document: BigInt64Array.of(BigInt(document * 2)),
              tokenStart: Int32Array.of(0),
              tokenCount: Int32Array.of(length),
              byteStart: BigInt64Array.of(0n),
              byteEnd: BigInt64Array.of(0n),
            },
          });
        }
      }
      await writer.finish();
      await writer.commit();
    });

    const finder = async (storage: Storage) =>
      tokenFinder(await readSequences(storage, path), { repeats: 100, bosId: null, eosId: null });

    it('is a few record batches, wherever the document lies', async () => {
      for (const document of [0, 1, 777, 1110, 1999]) {
        const { storage, bytes } = counting();
        const found = await (await finder(storage)).find(document * 2, 4000);
        const tokens = document % 10 === 0 ? 2 * length - 100 : length;
        expect([...found!.ids]).toEqual(Array.from({ length: tokens }, (_, i) => document * 10_000 + i));
        expect(found!.complete).toBe(true);
        expect(found!.current!.at(-1)).toBeCloseTo((tokens - 1) / 1000, 5);
        expect(bytes()).toBeLessThan(statSync(path).size / 3);
      }
    });

    it('ends where enough tokens are found', async () => {
      const found = await (await finder(localStorage())).find(1110 * 2, 1200);
      expect(found).toMatchObject({ complete: false });
      expect([...found!.ids]).toEqual(Array.from({ length: 1200 }, (_, i) => 11_100_000 + i));
    });

    it('finds no document that is not there', async () => {
      const find = await finder(localStorage());
      expect(await find.find(1111, 10)).toBeNull();
      expect(await find.find(99_999, 10)).toBeNull();
    });
  });

  it('of a shard is the row groups concerned', async () => {
    const rows = webRows(2000).map((row, i) => ({ ...row, text: `${i} ${'many words '.repeat(200)}${i}` }));
    const fields = { url: { type: 'UTF8' }, text: { type: 'UTF8' } } as const;
    const path = join(folder, 'web.parquet');
    writeFileSync(path, await writtenParquet(fields, rows, { rowGroupSize: 50 }));
    const { storage, bytes } = counting();
    const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 1 << 20 };
    const shard = { path, name: 'web.parquet', format: 'parquet' } as const;
    const found = await shardTexts(storage, shard, new Set([70, 1500, 9999]), options, { bytes: 0 });
    expect([...found.keys()]).toEqual([70, 1500]);
    expect(found.get(1500)).toEqual({
      head: rows[1500]!.text,
      whole: true,
      digest: textDigest(rows[1500]!.text),
    });
    expect(bytes()).toBeLessThan(statSync(path).size / 4);
  });

  it('of a stream ends with the budget, and of a long text is its beginning', async () => {
    const path = join(folder, 'web.jsonl');
    const long = '😀'.repeat(100_000);
    writeFileSync(path, [long, 'b', 'c'].map((text) => `${JSON.stringify({ text })}\n`).join(''));
    const shard = { path, name: 'web.jsonl', format: 'jsonl' } as const;
    const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 1 << 20 };
    const read = (bytes: number) => shardTexts(localStorage(), shard, new Set([0, 2]), options, { bytes });
    const all = await read(1 << 20);
    expect([...all.keys()]).toEqual([0, 2]);
    expect(all.get(0)).toMatchObject({ whole: false, digest: textDigest(long) });
    expect(long.startsWith(all.get(0)!.head)).toBe(true);
    expect(all.get(0)!.head).not.toMatch(/\p{Surrogate}/u);
    expect([...(await read(100)).keys()]).toEqual([0]);
  });
});
