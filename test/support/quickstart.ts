import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll } from 'vitest';
import { parquetBytes, rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../../fixtures/quickstart/make.mjs';

/** A folder that goes when the test file is done. */
export function temporaryFolder(within = tmpdir()): string {
  const folder = mkdtempSync(join(within, 'tokensieve-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface QuickstartInputs {
  readonly folder: string;
  readonly shards: string;
  readonly reference: string;
  readonly current: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * The quickstart's inputs, made once and kept beside the packages, under a digest of all that makes them: the scripts
 * and the versions of the libraries. Of two test files that make them at once, the second takes the first's.
 */
async function madeQuickstart(): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  for (const folder of ['fixtures/quickstart', 'fixtures/bpe'])
    for (const name of readdirSync(join(root, folder)).sort())
      if (name.endsWith('.mjs')) hash.update(name).update(readFileSync(join(root, folder, name)));
  const kept = join(root, 'node_modules/.cache/tokensieve-tests');
  const made = join(kept, `quickstart-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(made)) return made;
  mkdirSync(kept, { recursive: true });
  const staging = mkdtempSync(join(kept, 'staging-'));
  await makeQuickstart(staging);
  // It names the files where they were made.
  rmSync(join(staging, 'inputs.json'));
  try {
    renameSync(staging, made);
  } catch (error) {
    if (!existsSync(made)) throw error;
    rmSync(staging, { recursive: true });
  }
  return made;
}

/** The quickstart's generated corpus, tokenizer and two bigram checkpoints: a copy of the caller's own. */
export async function quickstartInputs(folder: string): Promise<QuickstartInputs> {
  cpSync(await madeQuickstart(), folder, { recursive: true });
  return {
    folder,
    shards: join(folder, 'corpus/noisy/*.parquet'),
    reference: join(folder, 'models/reference'),
    current: join(folder, 'models/current'),
  };
}

/**
 * A corpus of many small parts: two parquet shards of 5-row groups in different folders and one compressed jsonl
 * shard, some rows unusable. Returns the glob that finds them.
 */
export async function manySmallParts(folder: string): Promise<string> {
  const [web] = shards;
  if (web === undefined) throw new Error('the quickstart has no shards');
  const rows = rowsOf({ ...web, rows: 90 }, defaults.seed);
  const write = (name: string, bytes: Uint8Array): void => {
    const path = join(folder, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, bytes);
  };
  write('a/web.parquet', await parquetBytes(rows.slice(0, 30), 'SNAPPY', 5));
  write('b/web.parquet', await parquetBytes(rows.slice(30, 60), 'GZIP', 5));
  const lines = rows.slice(60).map((row, i) => (i % 20 === 7 ? '{"text": null}' : JSON.stringify(row)));
  write('b/more.jsonl.gz', gzipSync(`${lines.join('\n')}\n`));
  return join(folder, '**/*.{parquet,jsonl.gz}');
}

/**
 * Parquet shards of several parts each, 30 long documents in groups of five: enough work that a process can be killed in the
 * middle of it. With `part_bytes` of 16 KiB a shard has about six parts.
 */
export async function shardsOfManyParts(folder: string, count = 4): Promise<void> {
  const [web] = shards;
  if (web === undefined) throw new Error('the quickstart has no shards');
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < count; i++) {
    const pages = rowsOf({ ...web, from: 120 * i, rows: 120 }, defaults.seed);
    const rows = Array.from({ length: 30 }, (_, row) => {
      const own = pages.slice(4 * row, 4 * row + 4);
      return { ...own[0], text: own.map(({ text }) => text).join('\n\n') } as (typeof pages)[number];
    });
    const bytes = await parquetBytes(rows, i % 2 === 0 ? 'SNAPPY' : 'GZIP', 5);
    writeFileSync(join(folder, `web-0000${i}.parquet`), bytes);
  }
}
