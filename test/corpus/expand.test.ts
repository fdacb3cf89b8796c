import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expandShards, formatOf } from '#tokensieve/corpus/expand.js';
import { localStorage } from '#tokensieve/storage/local.js';

const FILES = [
  'web/0.parquet',
  'web/1.parquet',
  'web/sub/0.parquet',
  'web/sub/notes.txt',
  'code/Z.jsonl.gz',
  'code/a.jsonl',
  'code/é.ndjson',
  'code/b.jsonl.zst',
  'code/.hidden.jsonl',
  'code/00000.quarantine.jsonl',
  'code/c4.json.gz',
  'odd/[x].parquet',
  'odd/x.parquet',
  'empty/readme.md',
];

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'tokensieve-expand-'));
  for (const file of FILES) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '');
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const names = async (...patterns: string[]): Promise<string[]> =>
  (
    await expandShards(
      localStorage(),
      patterns.map((pattern) => `${root}/${pattern}`),
    )
  ).map(({ name }) => name);
const failure = (...patterns: string[]): Promise<unknown> =>
  names(...patterns).then(
    (found) => found,
    (error: unknown) => error,
  );

describe('shards from what was named', () => {
  it.each([
    [['web/*.parquet'], ['0.parquet', '1.parquet']],
    [['web/**/*.parquet'], ['0.parquet', '1.parquet', 'sub/0.parquet']],
    [['*/{0,1}.parquet'], ['web/0.parquet', 'web/1.parquet']],
    [['**/0.parquet'], ['web/0.parquet', 'web/sub/0.parquet']],
    [['web'], ['0.parquet', '1.parquet', 'sub/0.parquet']],
    [['web/'], ['0.parquet', '1.parquet', 'sub/0.parquet']],
    [['code'], ['Z.jsonl.gz', 'a.jsonl', 'b.jsonl.zst', 'c4.json.gz', 'é.ndjson']],
    [['web/1.parquet'], ['1.parquet']],
    [
      ['web/sub/0.parquet', 'web/0.parquet'],
      ['0.parquet', 'sub/0.parquet'],
    ],
    [
      ['web/../web/0.parquet', 'code/a.jsonl'],
      ['code/a.jsonl', 'web/0.parquet'],
    ],
    [['code/.hidden.jsonl'], ['.hidden.jsonl']],
    [['odd/[x].parquet'], ['[x].parquet']],
    [['web/0.parquet', 'web/0.parquet'], ['0.parquet']],
    [
      ['web/*.parquet', 'web/0.parquet'],
      ['0.parquet', '1.parquet'],
    ],
  ])('%j', async (patterns, expected) => {
    expect(await names(...patterns)).toEqual(expected);
  });

  it('gives the path as it was found, and the format', async () => {
    expect(await expandShards(localStorage(), [`${root}/code/*.jsonl*`])).toEqual([
      { path: `${root}/code/Z.jsonl.gz`, name: 'Z.jsonl.gz', format: 'jsonl.gz' },
      { path: `${root}/code/a.jsonl`, name: 'a.jsonl', format: 'jsonl' },
      { path: `${root}/code/b.jsonl.zst`, name: 'b.jsonl.zst', format: 'jsonl.zst' },
    ]);
    expect(formatOf('x.PARQUET')).toBe('parquet');
    expect(formatOf('x.json')).toBeNull();
  });

  it('takes relative paths, and never names a shard with ..', async () => {
    const here = relative(process.cwd(), root);
    const shards = await expandShards(localStorage(), [
      `${here}/web/sub/0.parquet`,
      `./${here}/code/a.jsonl`,
    ]);
    expect(shards.map(({ name }) => name)).toEqual(['code/a.jsonl', 'web/sub/0.parquet']);
    expect((await expandShards(localStorage(), [`${here}/web/*.parquet`])).map(({ name }) => name)).toEqual([
      '0.parquet',
      '1.parquet',
    ]);
  });

  it.each([
    [['web/*.jsonl'], 'no-shards', 'web/*.jsonl'],
    [['none'], 'no-shards', 'none'],
    [['empty'], 'no-shards', 'none of its 1 files'],
    [[], 'no-shards', 'no shards'],
    [['web/sub/*'], 'unknown-format', 'web/sub/notes.txt'],
    [['empty/readme.md'], 'unknown-format', 'readme.md'],
    [['web/*.parquet', 'web/sub/*.parquet'], 'same-name', 'web/sub/0.parquet'],
    [['web/*.parquet', '*/1.parquet'], 'shard-twice', 'web/1.parquet'],
  ])('%j is a usage error: %s', async (patterns, code, words) => {
    expect(await failure(...patterns)).toMatchObject({
      name: 'TokensieveError',
      reach: 'usage',
      code,
      message: expect.stringContaining(words),
    });
  });

  it('names both files of one name', async () => {
    const error = String(await failure('web/*.parquet', 'web/sub/*.parquet'));
    expect(error).toContain(`${root}/web/0.parquet`);
    expect(error).toContain(`${root}/web/sub/0.parquet`);
  });
});
