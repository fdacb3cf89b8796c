import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadMethod } from '#tokensieve/select/load.js';
import type { Method, TokenPlan } from '#tokensieve/select/method.js';
import { domainWeights } from '#tokensieve/select/methods/domain-weights.js';
import { METHODS } from '#tokensieve/select/methods.js';
import { createSelection, type Selection } from '#tokensieve/select/selection.js';
import { type SelectionInput, selectionSettings } from '#tokensieve/select/settings.js';
import { addStatistics } from '#tokensieve/select/statistics.js';
import { select, toBatch, toSource, type VectorPart } from './support.js';

const create = (settings: SelectionInput, method?: Method): Selection =>
  createSelection(selectionSettings.parse(settings), method);

const part = (rows: number, length: number, shard = 's', number = 0): VectorPart => ({
  shard,
  part: number,
  rows: Array.from({ length: rows }, (_, r) => ({
    reference_loss: Array.from({ length }, (_, i) => (i === 0 ? null : ((r * 31 + i * 17) % 23) / 8)),
    current_loss: Array.from({ length }, (_, i) => (i === 0 ? null : ((r * 13 + i * 29) % 19) / 8)),
  })),
});

describe('what is read, and when', () => {
  it('finds that scores differ in the first batch, and reads no further', async () => {
    const sources = [toSource(part(50, 8), 5), toSource(part(50, 8, 's', 1), 5)];
    await create({ scope: 'window:64' }).prepare(sources);
    expect(sources.map((source) => source.batchesRead)).toEqual([1, 0]);
  });

  it('holds one window: a batch is given out as soon as its last window is ranked', async () => {
    const selection = create({ scope: 'window:64' });
    const source = toSource(part(1000, 8), 4);
    let ahead = 0;
    let given = 0;
    for await (const _ of selection.weigh(source, { cuts: null, fitted: undefined }).batches) {
      given++;
      ahead = Math.max(ahead, source.batchesRead - given);
    }
    expect(given).toBe(250);
    // A window is two batches of four rows of eight; the third tells that it is full.
    expect(ahead).toBeLessThanOrEqual(2);
  });

  it('passes twice for dataset scope, and a third time only where ties are split', async () => {
    const fine = (number: number): VectorPart => ({
      shard: 's',
      part: number,
      rows: [
        { reference_loss: [null, 0, 0, 0], current_loss: [null, number + 0.1, number + 0.2, number + 0.3] },
      ],
    });
    const reads = async (parts: readonly VectorPart[]): Promise<number[]> => {
      const sources = parts.map((own) => toSource(own, 10));
      await create({ scope: 'dataset', keep: 0.5, allow_constant: true }).prepare(sources);
      return sources.map((source) => source.batchesRead);
    };
    expect(await reads([fine(0), fine(1), fine(2)])).toEqual([2, 2, 2]);
    const equal = (number: number): VectorPart => ({
      shard: 's',
      part: number,
      rows: [{ reference_loss: [null, 0, 0, 0], current_loss: [null, 1, 1, 1] }],
    });
    // Half of nine is four: used up in the second part, so the third is not read again.
    expect(await reads([equal(0), equal(1), equal(2)])).toEqual([3, 3, 2]);
  });
});

describe('refusals', () => {
  const rows = [{ reference_loss: [null, 1, 2], current_loss: [null, 2, 4] }];
  it.each<[string, SelectionInput, RegExp]>([
    ['unknown-method', { method: 'best' }, /"best" is unknown; expected one of slm, /],
    ['missing-setting', { method: 'threshold' }, /--threshold/],
    ['missing-setting', { method: 'band' }, /--band/],
    ['missing-setting', { method: 'band', band: [0.5, 0.5] }, /a < b/],
    ['share-too-fine', { keep: 0.12345678 }, /keep is 0.12345678/],
    ['bad-scope', { scope: 'window:0' }, /expected sequence, window:N/],
    ['bad-scope', { scope: 'window:9999999999' }, /use shard or dataset/],
    ['bad-scope', { scope: 'batch' }, /"batch"/],
    ['score-does-not-apply', { method: 'esl', score: 'excess' }, /current-loss, current-entropy/],
    ['unit-scope', { method: 'rho-loss', scope: 'sequence' }, /one row/],
    ['unit-scope', { method: 'miniplm', unit: 'document', scope: 'window' }, /cuts through/],
    ['domain-scope', { method: 'domain-weights', scope: 'dataset' }, /its step/],
    ['no-domains', { method: 'domain-weights' }, /--domains/],
    ['missing-column', { method: 'reference-entropy' }, /^s part 0 has no reference_entropy, .*--entropy$/],
  ])('%s for %o', async (code, settings, message) => {
    const attempt = select(settings, [{ shard: 's', part: 0, rows }]);
    await expect(attempt).rejects.toMatchObject({ name: 'TokensieveError', reach: 'usage', code });
    await expect(attempt).rejects.toThrow(message);
  });

  it('names the token where one side has a loss and the other none', async () => {
    const bad = [...part(3, 4).rows, { id: 41, reference_loss: [null, 1, null], current_loss: [null, 1, 2] }];
    const attempt = select({ scope: 'sequence' }, [{ shard: 'web/x.parquet', part: 7, rows: bad }]);
    await expect(attempt).rejects.toMatchObject({ reach: 'input', code: 'eligibility-differs' });
    await expect(attempt).rejects.toThrow(/^web\/x\.parquet part 7 row 41 position 2: /);
  });

  it.each([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e38])('a loss of %d', async (value) => {
    const bad = [{ reference_loss: [null, 1, 2], current_loss: [null, 1, value] }];
    await expect(select({}, [{ shard: 's', part: 0, rows: bad }])).rejects.toMatchObject({
      code: 'infinite-loss',
    });
  });

  it('a data set whose every score is equal, with what to do', async () => {
    const same = [{ reference_loss: [null, 1, 2], current_loss: [null, 1, 2] }];
    const parts = [0, 1].map((number) => ({ shard: 's', part: number, rows: same }));
    for (const scope of ['sequence', 'window', 'shard', 'dataset']) {
      await expect(select({ scope }, parts)).rejects.toThrow(
        /^all 4 eligible tokens have the same score 0 .*--allow-constant/,
      );
    }
    await expect(select({ method: 'clm' }, parts)).resolves.toBeDefined();
  });

  it('a part that was not prepared, and one named twice', async () => {
    const selection = create({ scope: 'shard' });
    const source = toSource(part(3, 5), 2);
    const prepared = await selection.prepare([source]);
    expect(() => selection.weigh(toSource(part(3, 5, 's', 1), 2), prepared)).toThrow(
      /was not among the parts/,
    );
    await expect(selection.prepare([source, source])).rejects.toMatchObject({ code: 'part-twice' });
  });

  it('batches that do not fit together', async () => {
    const batch = toBatch(part(3, 5).rows, 0);
    for (const broken of [
      { ...batch, offsets: Int32Array.of(0, 10, 5, 15) },
      { ...batch, offsets: Int32Array.of(0, 5, 10, 20) },
      { ...batch, columns: { ...batch.columns, current_loss: new Float32Array(4) } },
      { ...batch, sequenceIds: new BigInt64Array(2) },
    ]) {
      const source = {
        shard: 's',
        part: 0,
        async *batches() {
          yield broken;
        },
      };
      await expect(create({}).prepare([source])).rejects.toMatchObject({
        reach: 'input',
        code: 'broken-batch',
      });
    }
    const gap = [
      { reference_loss: [null, 1, 2], current_loss: [null, 2, 4], documents: [[0, 2]] as [number, number][] },
    ];
    await expect(
      select({ method: 'rho-loss', unit: 'document' }, [{ shard: 's', part: 0, rows: gap }]),
    ).rejects.toMatchObject({ code: 'broken-segments' });
  });
});

describe('methods of the user', () => {
  const file = fileURLToPath(new URL('./fixtures/every-second.js', import.meta.url));

  it('are one file, loaded by path and known by its bytes', async () => {
    const { method, identity } = await loadMethod(file);
    expect(identity).toMatch(/^sha256:[0-9a-f]{64}$/);
    const selection = create({ method: file, options: { phase: 1 } }, method);
    const source = toSource(part(2, 5), 1);
    const rows: number[][] = [];
    for await (const { weights } of selection.weigh(source, await selection.prepare([source])).batches)
      rows.push([...weights]);
    expect(rows).toEqual([
      [0, 1, 0, 1, 0],
      [0, 1, 0, 1, 0],
    ]);
    expect(selection.conventions.method).toBe('every-second');
  });

  it('work as docs/methods.md prints one', async () => {
    const docs = readFileSync(new URL('../../docs/methods.md', import.meta.url), 'utf8');
    const file = join(mkdtempSync(join(tmpdir(), 'tokensieve-method-')), 'example.mjs');
    writeFileSync(file, /```js\n([\s\S]*?)```/.exec(docs)![1]!);
    const { method } = await loadMethod(file);
    const selection = create({ method: file, keep: 0.5, options: { limit: 2 } }, method);
    const source = toSource(
      {
        shard: 's',
        part: 0,
        rows: [{ reference_loss: [null, 1, 3, 1, 1], current_loss: [null, 5, 4, 3, 2] }],
      },
      1,
    );
    for await (const { weights } of selection.weigh(source, await selection.prepare([source])).batches) {
      expect([...weights]).toEqual([0, 1, 0.5, 0, 0]);
    }
    expect.assertions(1);
  });

  it('are refused with the reason', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokensieve-method-'));
    writeFileSync(join(folder, 'empty.mjs'), 'export default { name: "x" };');
    writeFileSync(join(folder, 'broken.mjs'), 'export default {');
    await expect(loadMethod(join(folder, 'empty.mjs'))).rejects.toMatchObject({ code: 'not-a-method' });
    await expect(loadMethod(join(folder, 'broken.mjs'))).rejects.toMatchObject({ code: 'method-not-loaded' });
    await expect(loadMethod('./not/there.js')).rejects.toThrow(/could not be loaded/);
    await expect(loadMethod('best')).rejects.toMatchObject({ code: 'unknown-method' });
  });

  const plan: TokenPlan = {
    unit: 'token',
    columns: ['current_loss'],
    score: 'mine',
    normaliser: 'weights',
    usesKeep: false,
    usesSeed: false,
    signals: [],
    rankings: [],
    weigh: (_tokens, _ranked, out) => out.fill(1),
  };
  const mine = (rest: Partial<TokenPlan>): Method => ({
    name: 'mine',
    version: 1,
    summary: '',
    source: '',
    plan: () => ({ ...plan, ...rest }),
  });
  it.each<[string, Partial<TokenPlan>]>([
    ['bad-weight', { weigh: (_tokens, _ranked, out) => out.fill(-1) }],
    ['bad-weight', { weigh: (_tokens, _ranked, out) => out.fill(Number.NaN) }],
    ['bad-bounds', { rankings: [{ score: (_tokens, out) => out.fill(1), bounds: () => [0, 0.5] }] }],
    ['bad-bounds', { rankings: [{ score: (_tokens, out) => out.fill(1), bounds: (n) => [0, n + 1] }] }],
    [
      'score-not-a-number',
      { rankings: [{ score: (_tokens, out) => out.fill(Number.NaN), bounds: () => [0, 1] }] },
    ],
  ])('%s stops them, in a window and over the data set', async (code, rest) => {
    for (const scope of ['window', 'dataset']) {
      const selection = create({ scope }, mine(rest));
      const source = toSource(part(2, 5), 1);
      const run = async (): Promise<void> => {
        for await (const _ of selection.weigh(source, await selection.prepare([source])).batches);
      };
      await expect(run()).rejects.toMatchObject({ code });
    }
  });
});

describe('conventions and statistics', () => {
  it('state the five points on which implementations disagree', () => {
    expect(create({ keep: 0.7, rounding: 'ceil' }).conventions).toEqual({
      method: 'slm',
      methodVersion: 1,
      score: 'fp32(current_loss) - fp32(reference_loss)',
      unit: 'token',
      keepPpm: 700_000,
      scope: 'window:1048576',
      rounding: 'max(1, ceil(k*n))',
      ties: 'earlier-first',
      normaliser: 'sum-of-weights',
      padding: 'loss-nan-weight-0-not-eligible',
      seed: null,
      draws: null,
    });
    expect(create({ method: 'dft' }).conventions).toMatchObject({
      normaliser: 'eligible-tokens',
      keepPpm: null,
      rounding: null,
    });
    expect(create({ method: 'random', seed: 9 }).conventions).toMatchObject({
      seed: 9,
      draws: expect.stringContaining('philox4x32-10'),
    });
    expect(create({ method: 'rho-loss', unit: 'document' }).conventions).toMatchObject({
      scope: 'shard',
      unit: 'document',
    });
  });

  it('report the threshold that was used, and add up', async () => {
    const parts = [part(6, 8), part(4, 8, 's', 1)];
    const { statistics } = await select({ scope: 'window:16', keep: 0.5 }, parts);
    expect(statistics[0]).toMatchObject({ tokens: 48, eligible: 42, kept: 21, weightSum: 21, scopes: 3 });
    const [cutoff] = statistics[0]!.cutoffs;
    expect(cutoff!.lowest).toBeLessThan(cutoff!.highest);
    const sum = statistics.reduce(addStatistics);
    expect(sum).toMatchObject({ tokens: 80, eligible: 70, kept: 35, scopes: 5 });
    expect(sum.cutoffs[0]!.lowest).toBe(Math.min(...statistics.map((own) => own.cutoffs[0]!.lowest)));
  });

  it('every method says what it is, in docs/methods.md too', () => {
    const docs = readFileSync(new URL('../../docs/methods.md', import.meta.url), 'utf8');
    for (const { name, summary, source } of METHODS) {
      expect(docs).toContain(`| \`${name}\` | ${summary} | ${source} |`);
    }
    for (const method of METHODS)
      expect(method).toMatchObject({
        summary: expect.stringMatching(/^[A-Z].*\.$/),
        source: expect.stringMatching(/./),
      });
    expect(new Set(METHODS.map((method) => method.name)).size).toBe(METHODS.length);
  });
});

describe('domain weights', () => {
  it('stay a distribution and survive rates that would overflow', () => {
    const step = (web: number, book: number) =>
      new Map([
        ['web', { excess: web, tokens: 1 }],
        ['book', { excess: book, tokens: 1 }],
      ]);
    const alphas = domainWeights([step(900, 1), step(900, 1)], 10, 0.001);
    expect(alphas.get('web')! + alphas.get('book')!).toBeCloseTo(1, 12);
    expect(alphas.get('book')).toBeCloseTo(0.0005, 9);
  });

  it('of no step at all are empty', () => {
    expect(domainWeights([], 1, 0.001).size).toBe(0);
  });
});
