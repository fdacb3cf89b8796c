import fc from 'fast-check';
import { expect, it } from 'vitest';
import { spellDynamics, tokenDynamics } from '#tokensieve/audit/compare/dynamics.js';
import { DYNAMICS_CLASSES, dynamicsSchema } from '#tokensieve/audit/compare/dynamics-report.js';
import { changeWeights, classIndex } from '#tokensieve/audit/compare/dynamics-tally.js';
import { arbitraryRows, type Row, withFolder } from '../dataset/batches.js';
import { storage } from '../dataset/runs.js';
import { changed, overwriteFloat, renamed, rowOf, writeRun } from './compare-runs-support.js';

const NaNs = Number.NaN;

/** Writes each checkpoint's parts and asks for the dynamics. */
const dynamicsOf = (
  checkpoints: readonly (readonly (readonly Row[])[])[],
  options: Parameters<typeof tokenDynamics>[2] = {},
) =>
  withFolder(async (folder) => {
    const runs = checkpoints.map((_, i) => `${folder}/step-${i}`);
    for (const [i, parts] of checkpoints.entries())
      await writeRun(`${runs[i]}/scored`, ['current_loss'], parts);
    const found = await tokenDynamics(storage, runs, options);
    expect(dynamicsSchema.parse(found)).toEqual(found);
    expect(found.checkpoints).toEqual(runs);
    return found;
  });

const counts = ({ classes }: Awaited<ReturnType<typeof dynamicsOf>>) =>
  Object.fromEntries(classes.map((one) => [one.class, one.tokens]));

it('tells the four classes apart', async () => {
  //          rises  falls  stays low  stays high  just within the threshold
  const first = [NaNs, 1, 4, 0.5, 5, 3];
  const last = [NaNs, 2, 1, 0.5, 5, 3.125];
  const found = await dynamicsOf([
    [[rowOf(0, { current_loss: first })]],
    [[rowOf(0, { current_loss: last })]],
  ]);
  expect(found.mean_last_loss).toBe((2 + 1 + 0.5 + 5 + 3.125) / 5);
  expect(
    found.classes.map(({ class: name, tokens, share, losses }) => [name, tokens, share, losses]),
  ).toEqual([
    ['H→H', 2, 0.4, [4, (5 + 3.125) / 2]],
    ['L→H', 1, 0.2, [1, 2]],
    ['H→L', 1, 0.2, [4, 1]],
    ['L→L', 1, 0.2, [0.5, 0.5]],
  ]);
  expect(found.classes[1]!.examples).toEqual([
    {
      shard: 'a/x.parquet',
      part: 0,
      sequence: 0,
      position: 1,
      document: 0,
      ids: { before: [0], token: 1, after: [2, 3, 4, 5] },
      text: null,
      losses: [1, 2],
    },
  ]);
  expect(found).toMatchObject({
    tokens: 5,
    unpaired: 0,
    threshold: 0.2,
    columns: ['current_loss', 'current_loss'],
  });
  expect(found.paper).toEqual({ 'H→H': 0.11, 'L→H': 0.12, 'H→L': 0.26, 'L→L': 0.51 });
  const join = (ids: Iterable<number>) => [...ids].map((id) => `<${id}>`).join('');
  const spelled = spellDynamics(found, { join, text: (id) => `<${id}>` });
  expect(spelled.classes[1]!.examples[0]!.text).toEqual({
    before: '<0>',
    token: '<1>',
    after: '<2><3><4><5>',
  });
});

it('fits a line to more than two checkpoints, so that an end alone decides nothing', async () => {
  // Least squares over 0, 1, 2, 3: Δ = 3·(Σ(x − 1.5)·y)/5.
  expect([...changeWeights(2)]).toEqual([-1, 1]);
  expect([...changeWeights(3)]).toEqual([-1, 0, 1]);
  const losses = [2, 1, 1, 2.2].map((loss) => [[rowOf(0, { current_loss: [NaNs, loss] })]]);
  const found = await dynamicsOf(losses); // end − start is 0.2, the line rises by 0.18
  expect(counts(found)).toEqual({ 'H→H': 0, 'L→H': 0, 'H→L': 0, 'L→L': 1 });
  expect(classIndex(0.2, 1, 1)).toBe(3);
  expect(classIndex(-0.2, 1.001, 1)).toBe(0);
});

/** The rule as one would write it down: the normal equations of a line through (x, loss). */
function naiveClass(losses: readonly number[], meanLast: number): string {
  const n = losses.length;
  const sum = (f: (y: number, x: number) => number) => losses.reduce((all, y, x) => all + f(y, x), 0);
  const [sx, sy, sxx, sxy] = [sum((_, x) => x), sum((y) => y), sum((_, x) => x * x), sum((y, x) => x * y)];
  const slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
  const intercept = (sy - slope * sx) / n;
  const change = slope * (n - 1) + intercept - intercept;
  if (change < -0.2) return 'H→L';
  if (change > 0.2) return 'L→H';
  return losses.at(-1)! <= meanLast ? 'L→L' : 'H→H';
}

const NAMES = ['c0', 'c1', 'c2', 'c3'] as const;

it('agrees with a naive recomputation on random runs', async () => {
  // Losses are 64ths of a nat, so no line of up to four points changes by exactly 0.2.
  const rows = fc.array(arbitraryRows(NAMES as unknown as []), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(rows, fc.integer({ min: 2, max: 4 }), fc.integer(), async (parts, n, seed) => {
      const all = parts.flatMap((part) =>
        part.flatMap((row) =>
          row.ids.map((id, i) => ({ id, losses: NAMES.slice(0, n).map((c) => row.columns[c]![i]!) })),
        ),
      );
      const tokens = all.filter(({ losses }) => !losses.some(Number.isNaN));
      const runs = NAMES.slice(0, n).map((name) =>
        parts.map((part) => renamed(part, { current_loss: name })),
      );
      const parity = (id: number) => (id % 2 === 0 ? 'even' : 'odd');
      if (tokens.length === 0) {
        await expect(dynamicsOf(runs)).rejects.toMatchObject({ code: 'not-comparable' });
        return;
      }
      const found = await dynamicsOf(runs, { classOf: parity, seed, examples: 2 });
      const mean = tokens.reduce((sum, { losses }) => sum + losses.at(-1)!, 0) / tokens.length;
      expect(found.mean_last_loss).toBeCloseTo(mean, 10);
      for (const { class: name, tokens: count, losses, share, examples } of found.classes) {
        const own = tokens.filter((token) => naiveClass(token.losses, found.mean_last_loss) === name);
        expect(count).toBe(own.length);
        expect(share).toBe(own.length / tokens.length);
        for (let j = 0; j < n; j++) {
          if (own.length === 0) expect(losses[j]).toBeNull();
          else expect(losses[j]).toBeCloseTo(own.reduce((sum, t) => sum + t.losses[j]!, 0) / own.length, 10);
        }
        expect(examples).toHaveLength(Math.min(2, own.length));
        for (const example of examples) {
          expect(naiveClass(example.losses, found.mean_last_loss)).toBe(name);
          const row = parts[example.part]!.find(({ id }) => Number(id) === example.sequence)!;
          expect(row.ids[example.position]).toBe(example.ids.token);
        }
        for (const kind of found.by_token_class!) {
          const those = tokens.filter(({ id }) => parity(id) === kind.name);
          expect(kind.tokens).toBe(those.length);
          const share = own.filter(({ id }) => parity(id) === kind.name).length / those.length;
          expect(kind.shares[name]).toBeCloseTo(share, 12);
        }
      }
    }),
    { numRuns: 25 },
  );
});

const row = (losses: readonly number[]): Row[][] => [[rowOf(0, { current_loss: [NaNs, ...losses] })]];
const nats = fc.array(
  fc.integer({ min: 0, max: 640 }).map((n) => n / 64),
  { minLength: 1, maxLength: 30 },
);

it('calls a run that rose L→H and one that fell H→L, and sees no more in a constant added to all', async () => {
  await fc.assert(
    fc.asyncProperty(nats, async (losses) => {
      const risen = losses.map((loss) => loss + 0.25);
      expect(counts(await dynamicsOf([row(losses), row(risen)]))['L→H']).toBe(losses.length);
      expect(counts(await dynamicsOf([row(risen), row(losses)]))['H→L']).toBe(losses.length);
      const still = counts(await dynamicsOf([row(losses), row(losses)]));
      expect(still['H→H']! + still['L→L']!).toBe(losses.length);
      const other = losses.toReversed();
      const shifted = [losses, other].map((run) => row(run.map((loss) => loss + 8)));
      expect(counts(await dynamicsOf(shifted))).toEqual(counts(await dynamicsOf([row(losses), row(other)])));
    }),
    { numRuns: 8 },
  );
});

it('does not depend on how parts are named or files are cut, and picks its examples by seed', async () => {
  const long = (add: number, segments: number): Row[] =>
    Array.from({ length: 60 }, (_, r) => ({
      ...rowOf(r, {
        current_loss: Array.from({ length: 1000 }, (_, i) => (i === 0 ? NaNs : ((i * 7 + r) % 40) / 8 + add)),
      }),
      // Many segments close a record batch early.
      segments: Array.from(
        { length: r === 9 ? segments : 1 },
        (_, s) => [BigInt(r), 0, s === 0 ? 1000 : 0, 0n, 0n] as const,
      ),
    }));
  const one = await dynamicsOf([[long(0, 1)], [long(0.1, 1)]], { seed: 1 });
  const cut = await dynamicsOf([[long(0, 1)], [long(0.1, 66_000)]], { seed: 1 });
  expect({ ...cut, checkpoints: 0 }).toEqual({ ...one, checkpoints: 0 });
  const other = await dynamicsOf([[long(0, 1)], [long(0.1, 1)]], { seed: 2 });
  expect(other.classes.map(({ tokens }) => tokens)).toEqual(one.classes.map(({ tokens }) => tokens));
  expect(other.classes[0]!.examples).not.toEqual(one.classes[0]!.examples);
  expect(new Set(one.classes[0]!.examples.map(({ sequence }) => sequence)).size).toBeGreaterThan(2);
  await withFolder(async (folder) => {
    for (const [i, add] of [0, 0.1].entries()) {
      await writeRun(`${folder}/${i}`, ['current_loss'], [long(add, 1)], {
        shard: 'other/name.jsonl',
        part: 7,
      });
    }
    const relabelled = await tokenDynamics(storage, [`${folder}/0`, `${folder}/1`]);
    expect(counts(relabelled)).toEqual(counts(one));
  });
});

it('leaves tokens out that only some checkpoints score, and counts them', async () => {
  const found = await dynamicsOf([row([1, NaNs, 3, NaNs]), row([2, 5, NaNs, NaNs])]);
  expect(found).toMatchObject({ tokens: 1, unpaired: 2, mean_last_loss: 2 });
  await expect(dynamicsOf([row([1, NaNs]), row([NaNs, 2])])).rejects.toThrow(
    /no token has a loss in all of .*2 in some/,
  );
});

it('reads the reference loss where there is no current one', () =>
  withFolder(async (folder) => {
    const rows = row([1, 1]).flat();
    await writeRun(`${folder}/a`, ['reference_loss'], [renamed(rows, { reference_loss: 'current_loss' })]);
    await writeRun(`${folder}/b`, ['current_loss'], [rows]);
    const found = await tokenDynamics(storage, [`${folder}/a`, `${folder}/b`]);
    expect(found.columns).toEqual(['reference_loss', 'current_loss']);
    expect(found.tokens).toBe(2);
  }));

it('refuses what cannot be compared, in one line', () =>
  withFolder(async (folder) => {
    const write = (name: string, rows: Row[], more = {}) =>
      writeRun(`${folder}/${name}`, ['current_loss'], [rows], more);
    const rows = row([1, 2]).flat();
    await write('a', rows);
    await write('shorter', [...rows, rowOf(1, { current_loss: [1] })]);
    await write(
      'other-ids',
      rows.map((one) => ({ ...one, ids: [0, 1, 99] })),
    );
    await write('other-part', rows, { part: 1 });
    await write('infinite', row([1, 2.71875]).flat());
    await overwriteFloat(`${folder}/infinite/a/x.parquet/00000.arrow`, 2.71875, Number.POSITIVE_INFINITY);
    const recipe = (hash: string) => ({ tokenizer: { hash } });
    for (const [name, hash] of [
      ['x', 'a'.repeat(64)],
      ['y', 'b'.repeat(64)],
    ] as const) {
      await write(name, rows, { manifest: (manifest: object) => ({ ...manifest, recipe: recipe(hash) }) });
    }
    await write('packed', rows, { manifest: (manifest: object) => ({ ...manifest, kind: 'packed' }) });
    await writeRun(
      `${folder}/weights`,
      ['weight'],
      [
        renamed(
          changed(rows, 'current_loss', () => 1),
          { weight: 'current_loss' },
        ),
      ],
    );

    const refusal = async (...names: string[]) => {
      const error = await tokenDynamics(
        storage,
        names.map((name) => `${folder}/${name}`),
      ).catch((caught) => caught);
      expect(error.message).not.toContain('\n');
      return `${error.reach} ${error.code}: ${error.message}`;
    };
    expect(await refusal('a')).toMatch(/^usage too-few-runs: .*found 1/);
    expect(await refusal('a', 'nothing')).toMatch(/^usage no-parts: .*nothing: no finished parts/);
    expect(await refusal('a', 'shorter')).toMatch(/^usage not-comparable: .*ends before row 1/);
    expect(await refusal('shorter', 'a')).toMatch(/^usage not-comparable: .*\/a\/.* ends before row 1/);
    expect(await refusal('a', 'a', 'other-ids')).toMatch(
      /^usage not-comparable: .*other-ids.*row 0, position 2 is token 2 and 99/,
    );
    expect(await refusal('a', 'other-part')).toMatch(
      /^usage not-comparable: .*a\/x.parquet part 0, which not every run has/,
    );
    expect(await refusal('a', 'infinite')).toMatch(
      /^input infinite-loss: .*infinite: a\/x.parquet part 0 has a loss of Infinity/,
    );
    expect(await refusal('x', 'y')).toMatch(
      /^usage not-comparable: .*different tokenizers \(aaaaaaaaaaaa… and bbbbbbbbbbbb…\)/,
    );
    expect(await refusal('a', 'packed')).toMatch(/^usage no-parts: .*packed parts have no losses/);
    expect(await refusal('a', 'weights')).toMatch(
      /^usage missing-column: .*weights: a\/x.parquet part 0 has no loss column/,
    );
  }));

it('keeps the names of its classes in the order of the report', () => {
  expect(DYNAMICS_CLASSES).toEqual(['H→H', 'L→H', 'H→L', 'L→L']);
});
