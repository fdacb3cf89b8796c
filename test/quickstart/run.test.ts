import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { createEncoder } from '../../fixtures/bpe/encode.mjs';
import { countBigrams, logProbabilities } from '../../fixtures/quickstart/bigram.mjs';
import { rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../../fixtures/quickstart/make.mjs';
import { summarize, table } from '../../fixtures/quickstart/summary.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Rows of each shard that are scored here. */
const limit = 25;
let folder: string;
let made: Awaited<ReturnType<typeof makeQuickstart>>;
const tokensieve = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['dist/cli/main.js', ...args], { cwd: root, maxBuffer: 1 << 24 });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokensieve-run-'));
  made = await makeQuickstart(folder);
  const set = Object.entries({
    shards: `[${folder}/corpus/noisy/*.parquet]`,
    reference: `${folder}/models/reference`,
    current: `${folder}/models/current`,
    out: `${folder}/out`,
    'run.cache': `${folder}/cache`,
    'corpus.limit': limit,
  }).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  await tokensieve('run', 'fixtures/quickstart/bigrams.yaml', ...set);
});

describe('the bigram run, by the command', () => {
  it('stores the losses that counting gives, from parquet to Arrow', async () => {
    const { size, bosId, eosId } = made.shape;
    const encode = createEncoder(made.bpe);
    const idsOf = (name: string): number[][] =>
      shards
        .filter(({ path }) => path.startsWith(`${name}/`))
        .flatMap((shard) => rowsOf(shard, defaults.seed).map(({ text }) => encode(text)));
    const expected = (name: string): Float64Array =>
      logProbabilities(countBigrams(idsOf(name), made.shape), size, defaults.strength);
    const known = { reference_loss: expected('clean'), current_loss: expected('noisy') };

    let worst = 0;
    for (const shard of shards.filter(({ path }) => path.startsWith('noisy/'))) {
      const texts = rowsOf({ ...shard, rows: limit }, defaults.seed).map(({ text }) => text);
      const stream = texts.flatMap((text) => [bosId, ...encode(text), eosId]);
      const path = join(folder, 'out/scored', basename(shard.path), '00000.arrow');
      let at = 0;
      for await (const batch of (await readSequences(localStorage(), path)).batches()) {
        const { offsets, inputIds, columns } = batch;
        for (let row = 0; row + 1 < offsets.length; row++) {
          const [start, end] = [offsets[row]!, offsets[row + 1]!];
          expect([...inputIds.subarray(start, end)]).toEqual(stream.slice(at, at + end - start));
          for (let i = start + 1; i < end; i++) {
            const cell = inputIds[i - 1]! * size + inputIds[i]!;
            for (const column of ['reference_loss', 'current_loss'] as const) {
              const stored = columns[column]![i]!;
              if (inputIds[i] === bosId) expect(stored).toBeNaN();
              else worst = Math.max(worst, Math.abs(stored + known[column][cell]!));
            }
          }
          // The next row repeats this row's last id as its context.
          at += end - start - 1;
        }
      }
      expect(at).toBe(stream.length - 1);
    }
    expect(worst).toBeLessThan(1e-5);
  });

  it('writes sound files', async () => {
    const { stdout } = await tokensieve('verify', join(folder, 'out'));
    expect(stdout).toMatch(/sound: 6 parts/);
  });

  it('keeps lessons and drops noise', async () => {
    const tallies = await summarize(folder);
    const lessons = tallies.get('lesson')!;
    expect(lessons.kept / lessons.tokens).toBeGreaterThan(0.8);
    const noise = [...tallies].filter(([kind]) => kind !== 'lesson').map(([, tally]) => tally);
    const share = (key: 'kept' | 'tokens') => noise.reduce((sum, tally) => sum + tally[key], 0);
    expect(share('kept') / share('tokens')).toBeLessThan(0.4);
    expect(table(tallies)).toMatch(/lessons +\d+ +\d+\.\d% +\d\.\d{3}\nnoise +\d+/);
  });
});
