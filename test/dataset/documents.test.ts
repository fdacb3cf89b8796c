import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { tableFromIPC } from 'apache-arrow';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Compression } from '#tokensieve/dataset/codecs.js';
import {
  createDocumentWriter,
  type DocumentRecord,
  readDocuments,
  textDigest,
} from '#tokensieve/dataset/documents.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { withFolder } from './batches.js';

const storage = localStorage();

async function write(
  path: string,
  pieces: readonly (readonly DocumentRecord[])[],
  keep: readonly string[],
  compression: Compression = 'none',
) {
  const writer = await createDocumentWriter(storage, path, {
    keep,
    compression,
    metadata: { fingerprint: 'f' },
  });
  for (const piece of pieces) await writer.write(piece);
  const summary = await writer.finish();
  await writer.commit();
  return summary;
}

async function read(path: string): Promise<DocumentRecord[]> {
  const documents: DocumentRecord[] = [];
  for await (const batch of (await readDocuments(storage, path)).batches()) documents.push(...batch);
  return documents;
}

const record = (row: number, columns: Record<string, unknown> = {}): DocumentRecord => ({
  row,
  columns,
  textDigest: textDigest(`text ${row}`),
  textBytes: 5 + row,
  tokens: row,
});

it('reads back documents, with strings as strings and other values as JSON, however they are handed over', async () => {
  const columns = fc.record({
    url: fc.option(fc.string({ unit: 'grapheme' })),
    // Without -0, which JSON.stringify cannot spell and a documents file keeps (exact-values.test.ts).
    metadata: fc.option(fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value)))),
  });
  await withFolder((folder) =>
    fc.assert(
      fc.asyncProperty(
        fc.array(columns, { maxLength: 20 }),
        fc.constantFrom<Compression>('none', 'zstd', 'lz4'),
        fc.nat(20),
        async (values, compression, cut) => {
          const documents = values.map((value, row) => record(row * 3, value));
          const keep = ['url', 'metadata'];
          const whole = await write(`${folder}/a.arrow`, [documents], keep, compression);
          const pieces = [documents.slice(0, cut), documents.slice(cut)];
          expect(await write(`${folder}/b.arrow`, pieces, keep, compression)).toEqual(whole);
          const stored = (value: unknown) =>
            value === null || typeof value === 'string' ? value : JSON.stringify(value);
          expect(await read(`${folder}/a.arrow`)).toEqual(
            documents.map((document) => ({
              ...document,
              columns: { url: stored(document.columns.url), metadata: stored(document.columns.metadata) },
              textDigest: Uint8Array.from(document.textDigest),
            })),
          );
          expect(whole.rows).toBe(documents.length);
          expect(whole.sha256).toBe(
            createHash('sha256')
              .update(await readFile(`${folder}/a.arrow`))
              .digest('hex'),
          );
        },
      ),
      { numRuns: 60 },
    ),
  );
});

it('closes record batches by documents and by bytes, and the Arrow library reads them', async () => {
  await withFolder(async (folder) => {
    const many = Array.from({ length: 8193 }, (_, row) =>
      record(row, { url: row % 3 ? `https://a/${row}` : undefined }),
    );
    await write(`${folder}/many.arrow`, [many], ['url']);
    const large = Array.from({ length: 3 }, (_, row) => record(row, { url: 'é'.repeat(1_200_000) }));
    await write(`${folder}/large.arrow`, [large], ['url']);
    for (const [name, batches, rows] of [
      ['many', 2, 8193],
      ['large', 2, 3],
    ] as const) {
      const table = tableFromIPC(await readFile(`${folder}/${name}.arrow`));
      expect([table.batches.length, table.numRows]).toEqual([batches, rows]);
    }
    const table = tableFromIPC(await readFile(`${folder}/many.arrow`));
    expect(table.get(8192)!.toJSON()).toMatchObject({
      row: 8192n,
      url: 'https://a/8192',
      text_bytes: 8197n,
      tokens: 8192n,
    });
    expect(table.get(3)!.toJSON()).toMatchObject({ url: null });
    expect([...table.get(3)!.toJSON().text_digest]).toEqual([...textDigest('text 3')]);
  });
});

it('keeps no columns as well as some, and no documents', async () => {
  await withFolder(async (folder) => {
    await write(`${folder}/a.arrow`, [[record(4, { url: 'not kept' })]], []);
    expect((await read(`${folder}/a.arrow`)).map(({ row, columns }) => [row, columns])).toEqual([[4, {}]]);
    await write(`${folder}/b.arrow`, [], ['url']);
    const file = await readDocuments(storage, `${folder}/b.arrow`);
    expect([file.keep, await file.countRows(), file.metadata]).toEqual([
      ['url'],
      0,
      { fingerprint: 'f', version: 1 },
    ]);
  });
});

it('refuses columns with the names of its own', async () => {
  await withFolder(async (folder) => {
    for (const keep of [['tokens'], ['url', 'url']]) {
      await expect(write(`${folder}/a.arrow`, [], keep)).rejects.toMatchObject({
        reach: 'usage',
        code: 'reserved-column',
      });
    }
    expect(await storage.list(folder)).toEqual([]);
  });
});
