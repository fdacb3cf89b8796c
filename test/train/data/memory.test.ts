import { linkSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { type Manifest, readManifest, stageManifest } from '#tokensieve/dataset/manifest.js';
import { partFiles } from '#tokensieve/dataset/part-files.js';
import { openTrainingData, startOf } from '#tokensieve/train/data/open.js';
import { temporaryFolder } from '../../support/quickstart.js';
import { storage, writeFolder } from './folders.js';

const PARTS = 40;
const ROWS = 512;
const LENGTH = 2048;

/** A data set of 40 parts of 2^20 tokens each, which are one file under many names. */
async function largeFolder(folder: string): Promise<string> {
  const sequence = { length: LENGTH };
  await writeFolder(folder, [Array.from({ length: ROWS }, () => LENGTH)], { kind: 'packed', sequence });
  const shard = 'web/x.parquet';
  const first = partFiles(folder, shard, 0);
  const manifest: Manifest = await readManifest(storage, first.manifest);
  for (let part = 1; part < PARTS; part++) {
    const files = partFiles(folder, shard, part);
    mkdirSync(dirname(files.sequences), { recursive: true });
    linkSync(first.sequences, files.sequences);
    const name = files.sequences.slice(files.sequences.lastIndexOf('/') + 1);
    const outputs = manifest.outputs.map((output) => ({ ...output, name }));
    await (await stageManifest(storage, files.manifest, { ...manifest, part, outputs })).commit();
  }
  return folder;
}

it('an epoch of 42 million tokens passes through two windows of memory', async () => {
  const path = await largeFolder(temporaryFolder());
  const settings = { sources: [{ path, ratio: 1 }], seed: 3, shuffle_tokens: 2 ** 20 };
  const data = await openTrainingData(storage, settings, { rows: 16, accumulate: 1 });
  const [source] = data.description.sources;
  expect(source).toMatchObject({ rows: PARTS * ROWS, tokens: PARTS * ROWS * LENGTH });
  const before = process.memoryUsage().rss;
  const started = performance.now();
  let most = before;
  for await (const { position } of data.steps(startOf(data.description))) {
    most = Math.max(most, process.memoryUsage().rss);
    if (position.rows >= PARTS * ROWS) break;
  }
  const seconds = (performance.now() - started) / 1000;
  const growth = (most - before) / 1e6;
  // All of it would be 9 bytes a token, 377 MB, beside what reading leaves for the collector.
  console.log(
    `memory growth ${growth.toFixed(0)} MB, ${((PARTS * ROWS * LENGTH) / seconds / 1e6).toFixed(1)}M tokens/s`,
  );
  expect(growth).toBeLessThan(200);
}, 120_000);
