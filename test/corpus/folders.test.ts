import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expandShards } from '#tokensieve/corpus/expand.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { temporaryFolder } from '../support/quickstart.js';
import { memoryStorage } from './memory-storage.js';

const commit = (...actions: object[]): Buffer =>
  Buffer.from(actions.map((action) => JSON.stringify(action)).join('\n'));
const files = (names: readonly string[], more: Readonly<Record<string, Uint8Array>> = {}) =>
  memoryStorage({ ...Object.fromEntries(names.map((name) => [name, new Uint8Array(1)])), ...more });

async function expand(storage: Storage, ...patterns: string[]) {
  const notes: string[] = [];
  try {
    const shards = await expandShards(storage, patterns, (note) => notes.push(note));
    return { names: shards.map(({ name }) => name), notes };
  } catch (error) {
    return { error: String(error), notes };
  }
}

describe('names that begin with _ or .', () => {
  const spark = files([
    't/_SUCCESS',
    't/_temporary/0/a.parquet',
    't/__pycache__/a.jsonl',
    't/.cache/a.jsonl',
    't/lang=en/a.parquet',
    't/lang=en/.a.parquet.crc',
    't/lang=en/_tmp.parquet',
    't/_year=2024/b.parquet',
    't/c.jsonl.bz2',
    't/d.parquet.part',
    't/README.md',
    't/e.jsonl',
    't/e.jsonl.gz',
  ]);

  it('are left out of a folder at every level, and told once with a count', async () => {
    const { names, notes } = await expand(spark, 't');
    expect(names).toEqual(['_year=2024/b.parquet', 'e.jsonl', 'e.jsonl.gz', 'lang=en/a.parquet']);
    expect(notes).toEqual([
      expect.stringMatching(/left out 4 files below names that begin with _ or \. /),
      expect.stringMatching(
        /left out 2 files of forms that are not read \(c\.jsonl\.bz2, d\.parquet\.part\)/,
      ),
      expect.stringMatching(/e\.jsonl\.gz.*count twice/),
    ]);
  });

  it('are left out of globs, but for steps that the glob spells, and read when named', async () => {
    expect((await expand(spark, 't/**/*.parquet')).names).toEqual([
      '_year=2024/b.parquet',
      'lang=en/a.parquet',
    ]);
    expect((await expand(spark, 't/_temporary/**/*.parquet')).names).toEqual(['0/a.parquet']);
    expect((await expand(spark, 't/*/_*.parquet')).names).toEqual(['lang=en/_tmp.parquet']);
    expect((await expand(spark, 't/_temporary/0/a.parquet')).names).toEqual(['a.parquet']);
    expect((await expand(spark, 't/__pycache__')).names).toEqual(['a.jsonl']);
  });
});

describe("a table's log", () => {
  const zero = 't/_delta_log/00000000000000000000.json';
  const one = 't/_delta_log/00000000000000000001.json';
  const add = (path: string, more: object = {}) => ({ add: { path, ...more } });

  it('Delta: files that it removed or never had are refused by name, for a folder and for globs', async () => {
    const log = {
      [zero]: commit(add('a%20b.parquet'), add('b.parquet')),
      [one]: commit({ remove: { path: 'b.parquet' } }, add('c.parquet')),
    };
    for (const pattern of ['t', 't/*.parquet', 't/**/*.parquet']) {
      const { error } = await expand(files(['t/a b.parquet', 't/b.parquet', 't/c.parquet'], log), pattern);
      expect(error).toMatch(/Delta table of whose 3 files the log does not name 1 \(b\.parquet\).*VACUUM/);
      expect((await expand(files(['t/a b.parquet', 't/c.parquet'], log), pattern)).names).toHaveLength(2);
    }
    expect((await expand(files(['t/a b.parquet', 't/c.parquet', 't/x.parquet'], log), 't')).error).toContain(
      'x.parquet',
    );
    expect((await expand(files(['t/b.parquet'], log), 't/b.parquet')).names).toEqual(['b.parquet']);
  });

  it('Delta: rows deleted within a file are refused; a log whose beginning is gone refuses what it removed, and says so', async () => {
    const vectors = { [zero]: commit(add('a.parquet', { deletionVector: { storageType: 'u' } })) };
    expect((await expand(files(['t/a.parquet'], vectors), 't')).error).toContain('deletion vectors');
    const late = { [one]: commit({ remove: { path: 'a.parquet' } }, add('b.parquet')) };
    expect((await expand(files(['t/a.parquet', 't/b.parquet'], late), 't')).error).toContain('a.parquet');
    expect((await expand(files(['t/b.parquet'], late), 't')).notes.join()).toContain('cannot be read whole');
  });

  it('Iceberg: more files than the current snapshot has, and files of deleted rows', async () => {
    const metadata = (summary: object) => ({
      't/metadata/00002-a.metadata.json': commit({
        'format-version': 2,
        'current-snapshot-id': 7,
        snapshots: [{ 'snapshot-id': 7, summary }],
      }),
      't/metadata/00001-a.metadata.json': commit({
        'format-version': 2,
        'current-snapshot-id': 6,
        snapshots: [],
      }),
    });
    const two = files(
      ['t/data/a.parquet', 't/data/b.parquet'],
      metadata({ 'total-data-files': '2', 'total-delete-files': '0' }),
    );
    expect((await expand(two, 't')).names).toEqual(['data/a.parquet', 'data/b.parquet']);
    const one = files(['t/data/a.parquet', 't/data/b.parquet'], metadata({ 'total-data-files': '1' }));
    expect((await expand(one, 't')).error).toMatch(/has 1 data files, and 2 are here/);
    const deletes = files(
      ['t/data/a.parquet'],
      metadata({ 'total-data-files': '1', 'total-delete-files': '3' }),
    );
    expect((await expand(deletes, 't')).error).toContain('3 files of deleted rows');
  });

  it('Hudi: several versions of one file', async () => {
    const names = [
      't/.hoodie/hoodie.properties',
      't/f1-0_0-1-0_20240101.parquet',
      't/f1-0_0-2-0_20240202.parquet',
    ];
    expect((await expand(files(names), 't')).error).toContain('several versions');
    expect((await expand(files(names.slice(0, 2)), 't')).names).toHaveLength(1);
  });
});

describe('a partition of a Delta table', () => {
  const log = commit(
    { add: { path: 'lang=en/new.parquet', partitionValues: { lang: 'en' } } },
    { remove: { path: 'lang=en/old.parquet' } },
  );
  it('is held against the log of the table', async () => {
    const table = files(['t/lang=en/new.parquet', 't/lang=en/old.parquet', 't/lang=de/a.parquet'], {
      't/_delta_log/00000000000000000000.json': log,
    });
    for (const pattern of ['t/lang=en', 't/lang=en/*.parquet'])
      expect((await expand(table, pattern)).error, pattern).toMatch(/Delta table .*lang=en\/old\.parquet/);
  });
});

describe('links to folders', () => {
  const root = temporaryFolder();
  const row = '{"text": "one"}\n';

  it('are not followed, which is told; named outright they are read', async () => {
    for (const name of ['corpus', 'elsewhere/part.parquet']) mkdirSync(join(root, name), { recursive: true });
    writeFileSync(join(root, 'corpus/a.jsonl'), row);
    writeFileSync(join(root, 'elsewhere/part.parquet/b.jsonl'), row);
    symlinkSync(join(root, 'elsewhere'), join(root, 'corpus/linked'));
    symlinkSync(join(root, 'elsewhere/part.parquet'), join(root, 'corpus/part.parquet'));

    const expanded = (pattern: string) => expand(localStorage(), join(root, pattern));
    const whole = await expanded('corpus');
    expect(whole.names).toEqual(['a.jsonl']);
    expect(whole.notes.join()).toMatch(/did not follow 2 links to folders \((linked|part\.parquet), /);
    expect((await expanded('corpus/**/*.jsonl')).notes.join()).toMatch(/did not follow 2 links/);
    // Of a glob of one level, links that it does not match are none of its business.
    expect((await expanded('corpus/*.jsonl')).notes).toEqual([]);
    expect((await expanded('corpus/*.parquet')).error).toMatch(/links to folders.* \(part\.parquet\)/);
    expect((await expanded('corpus/linked')).names).toEqual(['part.parquet/b.jsonl']);
  });
});

it('snapshots of a Hub cache that hold the same files are told of; one alone is not', async () => {
  const name = (revision: string, file: string) => `hub/datasets--a--b/snapshots/${revision}/${file}`;
  const cache = files([name('r1', 'x.parquet'), name('r2', 'x.parquet'), name('r2', 'y.parquet')]);
  const { names, notes } = await expand(cache, 'hub');
  expect(names).toHaveLength(3);
  expect(notes).toEqual([expect.stringMatching(/1 file in more than one snapshot.*r2\/x\.parquet/)]);
  expect((await expand(cache, 'hub/datasets--a--b/snapshots/r2')).notes).toEqual([]);
});
