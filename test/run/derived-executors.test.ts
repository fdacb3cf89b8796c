/**
 * Selection, import and export by several processes: every share and every worker makes any part, one of them dies
 * between a part's data and its manifest, and every file is the byte that one process leaves.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { exportRun } from '#tokensieve/export/export-run.js';
import { parseExport } from '#tokensieve/export/settings.js';
import { importScores } from '#tokensieve/import/import-run.js';
import { parseImport } from '#tokensieve/import/settings.js';
import { BOS, type CorpusSpec, EOS, storage, writeCorpus } from '../export/support.js';
import { rowsOf } from '../import/support.js';
import { startInQueue, startWorker, timesMade, type Worker } from '../queue/run-in-queue.js';
import { digestFolder, filesBelow, runCli, startCli } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';

const STAGES = ['select', 'import', 'export'] as const;
const folder = temporaryFolder();
const scored = join(folder, 'scored-run');
const packed = join(folder, 'packed-run');
const losses = join(folder, 'losses.jsonl');
const spec: CorpusSpec = {
  parts: Array.from({ length: 12 }, (_, part) =>
    Array.from({ length: 6 }, (_, i) => 8 + ((part + i * 5) % 23)),
  ),
  rules: { length: 32, packing: 'document', attention: 'across', overlap: 8, bosId: BOS, eosId: EOS },
  weight: () => 1,
};
let expected: Record<string, string>;

/** All three over runs that are there, so that none reads what another makes. Losses have many ties. */
function pipeline(name: string): { file: string; out: string } {
  const out = join(folder, name);
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    `version: 1
stages:
  - select: { run: ${scored}, out: ${join(out, 'weighted')}, method: reference-loss, scope: dataset, keep: 0.37 }
  - import: { run: ${packed}, losses: [${losses}], out: ${join(out, 'imported')}, model_name: elsewhere, per: document }
  - export: { run: ${scored}, to: hf, out: ${join(out, 'exported')}, shard_bytes: 1500 }
`,
  );
  return { file, out };
}

beforeAll(async () => {
  await writeCorpus(scored, { ...spec, kind: 'scored' });
  await writeCorpus(packed, { ...spec, kind: 'packed' });
  const records = (await rowsOf(scored)).map(({ ids, columns: { reference_loss = [] } }) => ({
    input_ids: [...ids],
    losses: reference_loss.map((loss) => (Number.isNaN(loss) ? null : loss)),
  }));
  writeFileSync(losses, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const { file, out } = pipeline('local');
  const { code, stderr } = await runCli(['run', file, '--log', 'none']);
  expect(code, stderr).toBe(0);
  expected = digestFolder(out);
  for (const place of ['weighted/a', 'imported/scored/a', 'exported/manifests']) {
    expect(Object.keys(expected).filter((path) => path.startsWith(place)).length, place).toBeGreaterThan(8);
  }
  // An export is handed on: nothing that tells of the processes stays in it.
  expect(readdirSync(join(out, 'exported', '.workers'))).toEqual([]);
});

it('three parts at a time in one process, to the bytes of one at a time', async () => {
  const out = join(folder, 'lanes');
  const options = { storage, sink: () => undefined, signal: new AbortController().signal, replace: false };
  const target = { run: packed, losses: [losses], out: join(out, 'imported') };
  const imports = parseImport({ ...target, model_name: 'elsewhere', per: 'document' }, 'test');
  const imported = await importScores(imports, { ...options, workers: 3 });
  expect(imported).toMatchObject({ parts: spec.parts.length, resumed: 0, leftOver: 0 });
  const exports = parseExport(
    { run: scored, to: 'hf', out: join(out, 'exported'), shard_bytes: 1500 },
    'test',
  );
  await exportRun(exports, { ...options, workers: 3 });
  const made = Object.fromEntries(Object.entries(expected).filter(([path]) => !path.startsWith('weighted/')));
  expect(digestFolder(out)).toEqual(made);
});

describe('an array of three', () => {
  it.each(STAGES)('%s: one killed between data and manifest, to the bytes of one process', async (only) => {
    const { file, out } = pipeline(`array-${only}`);
    const args = (index: number) => [
      'run',
      file,
      '--only',
      only,
      '--array-index',
      String(index),
      '--array-count',
      '3',
      '--log',
      'json',
    ];
    const killed = startCli(args(1), {
      onLine: (line) => void (line.includes('"data-committed"') && killed.child.kill('SIGKILL')),
    });
    expect((await killed.outcome).signal).toBe('SIGKILL');
    const made = (all: Record<string, string>) =>
      Object.keys(all).filter(
        (path) => /manifest\.json$|manifests\//.test(path) && path.startsWith(FOLDERS[only]),
      );
    // Data of a part lie there, and no manifest says so.
    expect(filesBelow(out).length).toBeGreaterThan(0);
    expect(made(digestFolder(out))).toEqual([]);
    const outcomes = await Promise.all([0, 1, 2].map((index) => startCli(args(index)).outcome));
    for (const { code, stderr } of outcomes) expect(code, stderr).toBe(0);
    const own = Object.fromEntries(
      Object.entries(expected).filter(([path]) => path.startsWith(FOLDERS[only])),
    );
    expect(digestFolder(out)).toEqual(own);
    const done = outcomes.flatMap(({ stderr }) =>
      stderr.split('\n').filter((line) => line.includes('"part-done"')),
    );
    expect(done).toHaveLength(made(own).length);
    if (only === 'export') expect(readdirSync(join(out, 'exported', '.workers'))).toEqual([]);
  });

  it('makes all three at once, for none reads what another makes', async () => {
    const { file, out } = pipeline('array-all');
    const outcomes = await Promise.all(
      [0, 1, 2].map(
        (index) =>
          startCli(['run', file, '--array-index', String(index), '--array-count', '3', '--log', 'none'])
            .outcome,
      ),
    );
    for (const { code, stdout, stderr } of outcomes) {
      expect(code, stderr).toBe(0);
      expect(stdout).toContain('3 stages in');
      expect(stdout).not.toContain('next is');
    }
    expect(digestFolder(out)).toEqual(expected);
  });
});

const FOLDERS = { select: 'weighted/', import: 'imported/', export: 'exported/' } as const;

describe.skipIf(redisServerPath === null)('a queue of two workers', { timeout: 300_000 }, () => {
  let redis: TestRedis;
  const started: Worker[] = [];
  const keep = (one: Worker): Worker => {
    started.push(one);
    return one;
  };
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterEach(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.splice(0).map(({ outcome }) => outcome));
  });
  afterAll(() => redis?.close());

  it('one killed between data and manifest, to the bytes of one process', async () => {
    const { file, out } = pipeline('queue');
    const following = keep(startInQueue(redis, ['enqueue', file, '--follow']));
    const two = [keep(startWorker(redis)), keep(startWorker(redis))];
    const killed = await Promise.race(two.map((one) => one.seen('data-committed').then(() => one)));
    killed.child.kill('SIGKILL');
    const { code, stderr } = await following.outcome;
    expect(code, stderr).toBe(0);
    expect(digestFolder(out)).toEqual(expected);
    const other = two.find((one) => one !== killed);
    const made = timesMade(other === undefined ? [] : [other]);
    expect([...made.values()].reduce((sum, times) => sum + times, 0)).toBeGreaterThan(20);
  });
});
