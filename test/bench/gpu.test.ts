import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readCheckpoint } from '../support/oracle/checkpoint.js';
import { lossesAcross } from '../support/oracle/oracle.js';

// The GPU's benchmark, rehearsed on the CPU over a tiny model: what it prints on a card is made by this code. In
// place of PyTorch it is given losses of the fp64 oracle, so that the parity it finds is a real one.

type Pair = { readonly reference: Float32Array; readonly current: Float32Array };
type Shape = { readonly vocab_size: number };

// By address: the benchmarks are plain JavaScript, and what they import is not type-checked.
const at = (path: string): string => new URL(`../../bench/gpu/${path}`, import.meta.url).href;
const {
  writePair,
}: { writePair(work: string, size: string, shape: Shape): Promise<{ reference: string; current: string }> } =
  await import(at('pair.mjs'));
const { sizes }: { sizes: { tiny: { shape: Shape; parityRows: number } } } = await import(at('sizes.mjs'));
const {
  compareLosses,
  parityIds,
}: {
  compareLosses(ours: Pair, theirs: Pair): { not_finite: number };
  parityIds(rows: number, length: number, vocabulary: number): Int32Array;
} = await import(at('phases/parity.mjs'));

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-bench-gpu-'));
afterAll(() => rmSync(folder, { recursive: true }));
const [work, losses] = [join(folder, 'work'), join(folder, 'losses')];

const record = z.looseObject({ phase: z.string(), size: z.literal('tiny'), device: z.literal('cpu') });
type Record = z.infer<typeof record>;

function bench(out: string, only: string, ...more: string[]) {
  const run = spawnSync(
    process.execPath,
    [
      fileURLToPath(new URL('../../bench/gpu/run.mjs', import.meta.url)),
      ...['--tiny', '--device', 'cpu', '--seconds', '0.05', '--only', only, '--work', work],
      ...['--losses', losses, '--out', join(folder, out), ...more],
    ],
    { encoding: 'utf8' },
  );
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, out, `${name}.json`), 'utf8'));
  return { code: run.status, table: run.stdout, log: run.stderr, read };
}

const positive = (value: unknown): boolean =>
  typeof value === 'number' && Number.isFinite(value) && value > 0;

beforeAll(async () => {
  const { shape, parityRows } = sizes.tiny;
  const folders = await writePair(work, 'tiny', shape);
  const length = 64; // the longer of the two that --tiny measures
  const ids = parityIds(parityRows, length, shape.vocab_size);
  mkdirSync(losses);
  for (const role of ['reference', 'current'] as const) {
    const checkpoint = readCheckpoint(folders[role]);
    const rows = Array.from({ length: parityRows }, (_, row) =>
      lossesAcross(checkpoint, [...ids.subarray(row * length, (row + 1) * length)]),
    );
    const values = Float32Array.from(rows.flatMap(({ loss }) => [...loss]));
    writeFileSync(join(losses, `${role}.bin`), new Uint8Array(values.buffer));
  }
});

describe('the benchmark of a GPU, rehearsed on the CPU', () => {
  it('measures every phase, leaves each its own JSON, and prints one table', () => {
    const { code, table, log, read } = bench('all', 'score,parity,pipeline,train,head');
    expect(log).not.toContain('"error"');
    expect(code).toBe(0);
    const { machine, records } = z
      .object({ machine: z.object({ ceilings_tflops: z.array(z.number()) }), records: z.array(record) })
      .parse(read('all'));
    const of = (phase: string): Record[] => records.filter((one) => one.phase === phase);
    const ceiling = String(machine.ceilings_tflops[0]);

    expect(of('score').map(({ length, mode }) => `${length} ${mode}`)).toEqual(
      [32, 64].flatMap((length) => ['one', 'pair', 'pair in turn'].map((mode) => `${length} ${mode}`)),
    );
    for (const one of of('score')) {
      expect(one['tokens_per_s']).toSatisfy(positive);
      expect(z.record(z.string(), z.number()).parse(one['mfu'])[ceiling]).toSatisfy(positive);
      expect(one['host_cores']).toSatisfy(positive);
      expect(one['rss_bytes']).toSatisfy(positive);
      // What only a card can tell is not made up.
      expect(one['gpu']).toBeNull();
    }
    expect(of('head').map(({ vocabulary }) => vocabulary)).toEqual([512, 2048]);
    const [endToEnd] = of('pipeline');
    expect(endToEnd?.['tokens']).toSatisfy(positive);
    expect(endToEnd?.['share_of_scorer']).toSatisfy(positive);
    const training = of('train').filter(({ objective }) => objective !== undefined);
    expect(training.map(({ objective, measured }) => [objective, measured])).toEqual([
      ['clm', true],
      ['live', true],
    ]);
    for (const one of training) expect(one['tokens_per_s']).toSatisfy(positive);
    expect(of('train').find(({ what }) => what === 'bus')?.['bytes_per_s']).toSatisfy(positive);

    for (const phase of ['score', 'parity', 'pipeline', 'train', 'head']) {
      const name = phase === 'parity' ? 'tiny-parity-fp32' : `tiny-${phase}`;
      expect(z.array(record).parse(read(name)), phase).toEqual(of(phase));
    }
    for (const title of [
      'Scoring (',
      'Parity with',
      'Parquet to Arrow',
      'Training (',
      'Share of the loss head',
    ])
      expect(table).toContain(title);
    expect(table).not.toContain('Not measured');

    const [parity] = of('parity');
    expect(parity).toMatchObject({ precision: 'fp32', tokens: 4 * 63, not_finite: 0, flips: 0 });
    expect(parity?.['mean']).toSatisfy((mean: number) => mean < 1e-5);
    expect(parity?.['max']).toSatisfy((max: number) => max < 1e-4);
    expect(parity?.['excess_deviation']).toSatisfy(positive);
  });

  it('notices one wrong row of weights', () => {
    const { code, read } = bench('faulty', 'parity', '--perturb');
    expect(code).toBe(0);
    const [parity] = z.array(record).parse(read('tiny-parity-fp32'));
    expect(parity?.['mean']).toSatisfy((mean: number) => mean > 1e-3);
    expect(parity?.['p999']).toSatisfy((p999: number) => p999 > 1e-2);
    expect(parity?.['flips']).toSatisfy((flips: number) => flips > 0.002);
  });

  it('says what it could not do, keeps what it had, and fails', () => {
    const { code, table, read } = bench('short', 'parity', '--losses', join(folder, 'none'));
    expect(code).toBe(1);
    expect(z.array(record).parse(read('tiny-parity-fp32'))).toEqual([
      expect.objectContaining({ error: expect.stringContaining('no losses to compare with') }),
    ]);
    expect(table).toContain('Not measured');
    expect(bench('unknown', 'speed').code).toBe(2);
  });
});

describe('comparing losses', () => {
  const pair = (reference: number[], current: number[]) => ({
    reference: Float32Array.from(reference),
    current: Float32Array.from(current),
  });

  it('counts tokens that change sides, and missing losses', () => {
    const theirs = pair([1, 1, 1, 1, 1], [5, 4, 3, 2, 1]);
    // Three of five are kept: the third and the fourth change places.
    const ours = pair([1, 1, 1, 1, 1], [5, 4, 2, 3, 1]);
    expect(compareLosses(ours, theirs)).toMatchObject({ flips: 2 / 5, mean: 2 / 10, max: 1, not_finite: 0 });
    expect(compareLosses(pair([1, 1, 1, 1, Number.NaN], [5, 4, 3, 2, 1]), theirs).not_finite).toBe(1);
    expect(() => compareLosses(pair([1], [1]), theirs)).toThrow('1 losses here, 5 there');
  });
});
