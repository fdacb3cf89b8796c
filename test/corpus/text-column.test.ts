import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { expandShards } from '#tokensieve/corpus/expand.js';
import { planShards } from '#tokensieve/pack/work.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { parquetBytes, rowsOf, shards as spec } from '../../fixtures/quickstart/corpus.mjs';
import { temporaryFolder } from '../support/quickstart.js';

const root = temporaryFolder();
const storage = localStorage();
let folders = 0;

/** Plans a corpus of these files. */
async function planned(files: Readonly<Record<string, string | Uint8Array>>, text = 'text') {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const shards = await expandShards(storage, [folder]);
  const options = { columns: { text, keep: [] }, maxTextBytes: 1 << 20, partBytes: 1 << 20 };
  const told: string[] = [];
  const sink = (event: { readonly event: string }) => void told.push(event.event);
  const { plans, broken } = await planShards(storage, shards, options, undefined, sink);
  return { plans: plans.length, broken: broken.length, told };
}
const lines = (...rows: readonly object[]): string =>
  `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;
const OTHER = lines({ content: 'One', url: 'x' }, { content: 'Two', url: 'y' });
const parquet = await parquetBytes(rowsOf({ ...spec[0]!, rows: 4 }, 'text'), 'SNAPPY', 4);
const refused = (message: RegExp) => ({
  code: 'missing-column',
  reach: 'usage',
  message: expect.stringMatching(message),
});

describe('a text column that no shard has', () => {
  it('is refused with the columns that there are, and the flag', async () => {
    await expect(planned({ 'a.parquet': parquet, 'b.parquet': parquet }, 'content')).rejects.toMatchObject(
      refused(
        /a\.parquet: no column "content".* url \(string\), text \(string\).* all 2 shards.*--text-column/,
      ),
    );
    for (const files of [{ 'a.jsonl': OTHER, 'b.jsonl': OTHER }, { 'a.jsonl.gz': gzipSync(`\n${OTHER}`) }]) {
      await expect(planned(files)).rejects.toMatchObject(
        refused(/a\.jsonl(\.gz)?: none of its first rows has "text".* content, url: .*--text-column/),
      );
    }
    await expect(planned({ 'a.jsonl': OTHER, 'b.parquet': parquet }, 'txt')).rejects.toMatchObject(
      refused(/none of its first rows has "txt"/),
    );
  });

  it('of some shards only does not stop the others', async () => {
    expect(await planned({ 'a.jsonl': OTHER, 'b.jsonl': lines({ text: 'x' }) })).toMatchObject({ plans: 2 });
    expect(await planned({ 'a.jsonl': OTHER, 'b.parquet': parquet })).toMatchObject({ plans: 2, broken: 0 });
    const mixed = await planned({ 'a.jsonl': lines({ content: 'x' }), 'b.parquet': parquet }, 'content');
    expect(mixed).toEqual({ plans: 1, broken: 1, told: ['quarantined'] });
  });

  it('may come late: after a header, after rows of another kind, in the last of many shards', async () => {
    const header = lines({ version: 1 }, ...Array.from({ length: 50 }, () => ({ other: 'x' })), {
      text: 'x',
    });
    expect(await planned({ 'a.jsonl': header })).toMatchObject({ plans: 1 });
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`a${i}.jsonl`, OTHER]));
    expect(await planned({ ...many, 'z.jsonl': lines({ text: 'x' }) })).toMatchObject({ plans: 41 });
  });

  it('is not what ails rows that are null, damaged, nested or no objects', async () => {
    for (const row of ['{"text":null}', '{"te', '[1]', '\xff', '']) {
      expect(await planned({ 'a.jsonl': Buffer.from(`${row}\n`, 'latin1') }), row).toMatchObject({
        plans: 1,
      });
    }
  });
});
