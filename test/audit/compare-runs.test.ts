import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compareRuns, spellComparison } from '#tokensieve/audit/compare/compare-runs.js';
import { comparisonSchema } from '#tokensieve/audit/compare/comparison-report.js';
import { createCut } from '#tokensieve/audit/compare/cut.js';
import { createGroups } from '#tokensieve/audit/compare/groups.js';
import type { DocumentRecord } from '#tokensieve/dataset/documents.js';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { arbitraryRows, type Row, withFolder } from '../dataset/batches.js';
import { type PartOptions, storage } from '../dataset/runs.js';
import { overwriteFloat, renamed, rowOf, writeRun } from './compare-runs-support.js';

const LOSSES = ['reference_loss', 'current_loss'] as const;
const ALL = [...LOSSES, 'weight'] as const;
type Parts = readonly (readonly Row[])[];
type Options = Parameters<typeof compareRuns>[3];

/** Writes two runs and compares them. */
const compare = (a: Parts, b: Parts, options: Options = {}, columns: readonly TokenColumn[] = ALL) =>
  withFolder(async (folder) => {
    const inside = columns.includes('weight') ? 'weighted' : 'scored';
    await writeRun(`${folder}/a/${inside}`, columns, a, { documents: hosts });
    await writeRun(`${folder}/b/${inside}`, columns, b, { documents: hosts });
    const found = await compareRuns(storage, `${folder}/a`, `${folder}/b`, options);
    expect(comparisonSchema.parse(found)).toEqual(found);
    expect(found.names).toEqual([`${folder}/a`, `${folder}/b`]);
    return found;
  });

const hosts = (documents: DocumentRecord[]): DocumentRecord[] =>
  documents.map((one) => ({
    ...one,
    columns: { url: one.row === 3 ? null : `https://host-${one.row % 2}.org/${one.row}` },
  }));

const groupsBy = (found: Awaited<ReturnType<typeof compare>>, by: string) =>
  found.differ_by.find((one) => one.by === by)?.groups;

it('counts flips, agreement and where they are', async () => {
  const reference = [Number.NaN, 1, 1, 1, 1, 1];
  const row = (id: number, current: readonly number[], weight: readonly number[]) =>
    rowOf(id, { reference_loss: reference, current_loss: [Number.NaN, ...current], weight: [0, ...weight] });
  const a = [row(0, [5, 4, 3, 2, 1], [1, 1, 1, 0, 0]), row(1, [5, 4, 3, 2, 1], [1, 1, 1, 0, 0])];
  const b = [row(0, [5, 4, 2, 3, 1], [1, 1, 0, 1, 0]), row(1, [5, 4, 3, 2, 1], [1, 1, 1, 0, 0])];
  const found = await compare([a], [b], { classOf: (id) => (id % 2 === 0 ? 'even' : 'odd') });
  expect(found).toMatchObject({
    parts: 1,
    tokens: 12,
    eligible: 10,
    unpaired: 0,
    measure: 'excess',
    selection: { both: 5, only_a: 1, only_b: 1, neither: 3, flipped: 2, flip_rate: 0.2, agreement: 5 / 7 },
    only_in_a: { total: 0, names: [] },
  });
  expect(found.losses).toEqual([
    { column: 'reference_loss', count: 10, unpaired: 0, max: 0, mean: 0, p999: 0 },
    { column: 'current_loss', count: 10, unpaired: 0, max: 1, mean: 0.2, p999: 1 },
  ]);
  expect(groupsBy(found, 'token_class')).toEqual([
    {
      name: 'odd',
      low: null,
      high: null,
      eligible: 6,
      only_a: 1,
      only_b: 0,
      flip_rate: 1 / 6,
      difference: 1 / 6,
    },
    {
      name: 'even',
      low: null,
      high: null,
      eligible: 4,
      only_a: 0,
      only_b: 1,
      flip_rate: 0.25,
      difference: 0.25,
    },
  ]);
  expect(
    groupsBy(found, 'host')!.map(({ name, eligible, only_a, only_b }) => [name, eligible, only_a, only_b]),
  ).toEqual([
    ['host-0.org', 5, 1, 1],
    ['host-1.org', 5, 0, 0],
  ]);
  expect(
    groupsBy(found, 'position')!.map(({ name, low, high, eligible, flip_rate }) => [
      name,
      low,
      high,
      eligible,
      flip_rate,
    ]),
  ).toEqual([
    ['1', 1, 2, 2, 0],
    ['2 to 3', 2, 4, 4, 0.25],
    ['4 to 7', 4, 8, 4, 0.25],
  ]);
  // Run a keeps an excess of 2 and drops 1, so it cuts half-way; run b keeps both 2 (once) and drops it never.
  const distances = groupsBy(found, 'cut_distance')!;
  expect(distances.reduce((sum, { eligible }) => sum + eligible, 0)).toBe(10);
  expect(distances.find(({ low }) => low === 0.5)).toMatchObject({
    name: '0.5 to 1',
    high: 1,
    only_a: 1,
    only_b: 1,
  });
  expect(
    found.examples.map(({ kept_by, ids, document, excess_a, excess_b }) => [
      kept_by,
      ids.token,
      document,
      excess_a,
      excess_b,
    ]),
  ).toEqual([
    ['a', 3, 0, 2, 1],
    ['b', 4, 0, 1, 2],
  ]);
  const texts = { text: (id: number) => `<${id}>`, join: (ids: Iterable<number>) => [...ids].join(' ') };
  expect(spellComparison(found, texts).examples[0]!.text).toEqual({
    before: '0 1 2',
    token: '<3>',
    after: '4 5',
  });
});

const NAMES = ['ra', 'ca', 'wa', 'rb', 'cb', 'wb'] as const;
/** Two runs of random losses and weights over the same tokens. */
const twoRuns = fc
  .array(arbitraryRows(NAMES as unknown as []), { minLength: 1, maxLength: 2 })
  .map((parts) => {
    const run = (r: string, c: string, w: string) =>
      parts.map((part) =>
        renamed(part, { reference_loss: r, current_loss: c, weight: w }).map((row) => ({
          ...row,
          columns: {
            ...row.columns,
            weight: row.columns['weight']!.map((value) => ((value * 64) % 3 === 1 ? 1 : 0)),
          },
        })),
      );
    return { a: run('ra', 'ca', 'wa'), b: run('rb', 'cb', 'wb') };
  });

it('agrees with a naive recomputation, and with itself when the runs change places', async () => {
  await fc.assert(
    fc.asyncProperty(twoRuns, async ({ a, b }) => {
      const classOf = (id: number) => `class ${id % 3}`;
      const options = { classOf, examples: 3, seed: 5 };
      const found = await compare(a, b, options);
      const tokens = a.flatMap((part, p) =>
        part.flatMap((row, r) =>
          row.ids.map((id, position) => {
            const at = (of: Parts, column: string) => of[p]![r]!.columns[column]![position]!;
            const kept = [a, b].map((of) => at(of, 'weight') > 0);
            const excess = [a, b].map((of) => Math.fround(at(of, 'current_loss') - at(of, 'reference_loss')));
            return { id, position, keptA: kept[0]!, keptB: kept[1]!, gap: Math.abs(excess[0]! - excess[1]!) };
          }),
        ),
      );
      const eligible = tokens.filter(({ gap }) => !Number.isNaN(gap));
      const count = (of: typeof tokens, keptA: boolean, keptB: boolean) =>
        of.filter((token) => token.keptA === keptA && token.keptB === keptB).length;
      const [both, onlyA, onlyB] = [
        count(eligible, true, true),
        count(eligible, true, false),
        count(eligible, false, true),
      ];
      expect(found.tokens).toBe(tokens.length);
      if (tokens.length > 0) {
        expect(found.selection).toMatchObject({
          both,
          only_a: onlyA,
          only_b: onlyB,
          neither: count(eligible, false, false),
        });
        expect(found.selection!.agreement).toBe(
          both + onlyA + onlyB === 0 ? 1 : both / (both + onlyA + onlyB),
        );
      }
      for (const { name, ...group } of groupsBy(found, 'token_class') ?? []) {
        const own = eligible.filter(({ id }) => classOf(id) === name);
        expect([group.eligible, group.only_a, group.only_b]).toEqual([
          own.length,
          count(own, true, false),
          count(own, false, true),
        ]);
        expect(group.difference).toBeCloseTo(own.reduce((sum, { gap }) => sum + gap, 0) / own.length, 9);
      }
      for (const { low, high, ...group } of groupsBy(found, 'position')!) {
        const own = eligible.filter(({ position }) => position >= low! && position < high!);
        expect([group.eligible, group.only_a]).toEqual([own.length, count(own, true, false)]);
      }
      for (const one of found.differ_by) {
        const all = one.groups.reduce((sum, group) => sum + group.eligible, one.others?.eligible ?? 0);
        // A part of which a run keeps all or nothing has no cut.
        if (one.by === 'cut_distance') expect(all).toBeLessThanOrEqual(eligible.length);
        else expect(all).toBe(eligible.length);
      }
      expect(found.examples).toHaveLength(Math.min(3, onlyA) + Math.min(3, onlyB));

      const swapped = await compare(b, a, options);
      const back = (text: string): unknown =>
        JSON.parse(text, (_, value: unknown) =>
          value !== null && typeof value === 'object' && !Array.isArray(value)
            ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [SWAPPED[key] ?? key, inner]))
            : value,
        );
      const comparable = ({ names: _, examples, differ_by, ...rest }: typeof found) => ({
        ...rest,
        differ_by,
        examples: examples.map((one) => `${one.kept_by} ${one.part} ${one.sequence} ${one.position}`).sort(),
      });
      const turned = comparable(back(JSON.stringify(swapped)) as typeof found);
      turned.examples = turned.examples
        .map((text) => (text.startsWith('a') ? `b${text.slice(1)}` : `a${text.slice(1)}`))
        .sort();
      expect(turned).toEqual(comparable(found));
    }),
    { numRuns: 20 },
  );
});

const SWAPPED: Readonly<Record<string, string>> = {
  only_a: 'only_b',
  only_b: 'only_a',
  only_in_a: 'only_in_b',
  only_in_b: 'only_in_a',
  excess_a: 'excess_b',
  excess_b: 'excess_a',
};

it('compares runs that are only scored by their losses', async () => {
  const part = [rowOf(0, { reference_loss: [Number.NaN, 1, 1], current_loss: [Number.NaN, 2, 3] })];
  const other = [
    rowOf(0, { reference_loss: [Number.NaN, 1, Number.NaN], current_loss: [Number.NaN, 2, Number.NaN] }),
  ];
  const found = await compare([part], [other], {}, LOSSES);
  expect(found).toMatchObject({ selection: null, measure: 'excess', eligible: 1, unpaired: 1, examples: [] });
  expect(groupsBy(found, 'position')).toMatchObject([{ name: '1', flip_rate: null, difference: 0 }]);
  expect(groupsBy(found, 'cut_distance')).toBeUndefined();
});

it('lists the parts that one run only has, and compares the others', () =>
  withFolder(async (folder) => {
    const rows = [
      rowOf(0, { reference_loss: [Number.NaN, 1], current_loss: [Number.NaN, 2], weight: [0, 1] }),
    ];
    await writeRun(`${folder}/a`, ALL, [rows, rows]);
    await writeRun(`${folder}/a`, ALL, [rows], { shard: 'only/here' });
    await writeRun(`${folder}/b`, ALL, [rows]);
    await writeRun(`${folder}/c`, ALL, [rows], { shard: 'elsewhere' });
    const found = await compareRuns(storage, `${folder}/a`, `${folder}/b`);
    expect(found).toMatchObject({ parts: 1, tokens: 2, only_in_b: { total: 0, names: [] } });
    expect(found.only_in_a).toEqual({ total: 2, names: ['a/x.parquet part 1', 'only/here part 0'] });
    await expect(compareRuns(storage, `${folder}/b`, `${folder}/c`)).rejects.toMatchObject({
      reach: 'usage',
      code: 'not-comparable',
      message: expect.stringMatching(/b and .*c have no part in common/),
    });
  }));

it('takes hosts from the scored parts that a weighted run was made of, if they are of the same text', () =>
  withFolder(async (folder) => {
    const columns = { reference_loss: [Number.NaN, 1], current_loss: [Number.NaN, 2] };
    const scored = [rowOf(1, columns)];
    const weighted = [rowOf(1, { ...columns, weight: [0, 1] })];
    const { rm } = await import('node:fs/promises');
    for (const [run, text] of [
      ['a', '0'],
      ['b', '1'],
    ] as const) {
      const manifest: PartOptions['manifest'] = (one) => ({
        ...one,
        input: { ...one.input, text_sha256: text.repeat(64) },
      });
      await writeRun(`${folder}/${run}/scored`, LOSSES, [scored], { documents: hosts, manifest });
      await writeRun(`${folder}/${run}/weighted`, ALL, [weighted]);
      await rm(`${folder}/${run}/weighted/a/x.parquet/00000.documents.arrow`);
    }
    const host = async (a: string, b: string) =>
      groupsBy(await compareRuns(storage, `${folder}/${a}`, `${folder}/${b}`), 'host')?.map(
        ({ name }) => name,
      );
    expect(await host('a', 'a')).toEqual(['host-1.org']);
    expect(await host('a/weighted', 'b/weighted')).toEqual(['host-1.org']);
    expect(await host('b', 'b')).toBeUndefined(); // the scored parts are of other text
  }));

it('refuses runs over other tokens or tokenizers, and losses that are not finite', () =>
  withFolder(async (folder) => {
    const rows = [
      rowOf(0, { reference_loss: [Number.NaN, 1], current_loss: [Number.NaN, 2.71875], weight: [0, 1] }),
    ];
    const write = (name: string, of: readonly Row[], manifest?: PartOptions['manifest']) =>
      writeRun(`${folder}/${name}`, ALL, [of], manifest === undefined ? {} : { manifest });
    await write('a', rows);
    await write(
      'ids',
      rows.map((row) => ({ ...row, ids: [0, 7] })),
    );
    await write('infinite', rows);
    await overwriteFloat(`${folder}/infinite/a/x.parquet/00000.arrow`, 2.71875, Number.NEGATIVE_INFINITY);
    for (const hash of ['c', 'd']) {
      // Weighted parts name the tokenizer in the recipe of the scored parts they are of.
      await write(hash, rows, (one) => ({
        ...one,
        recipe: { scored: { tokenizer: { hash: hash.repeat(64) } } },
      }));
    }
    const refusal = (a: string, b: string) => compareRuns(storage, `${folder}/${a}`, `${folder}/${b}`);
    await expect(refusal('a', 'ids')).rejects.toThrow(
      /hold different sequences: row 0, position 1 is token 1 and 7/,
    );
    await expect(refusal('a', 'infinite')).rejects.toThrow(/x.parquet part 0: current_loss is -Infinity/);
    await expect(refusal('c', 'd')).rejects.toThrow(
      /different tokenizers \(cccccccccccc… and dddddddddddd…\)/,
    );
    await expect(refusal('a', 'none')).rejects.toMatchObject({ code: 'no-parts' });
  }));

it('finds the cut of a selection between what it kept and what it dropped', () => {
  const cut = createCut();
  for (const excess of [2, 1.5, 3]) cut.add(excess, true);
  for (const excess of [-1, 0, 0.5]) cut.add(excess, false);
  expect(cut.result()).toBeCloseTo(1, 1);
  const all = createCut();
  all.add(1, true);
  expect(all.result()).toBeNull();
  const other = createCut(); // kept by something else
  for (let i = 0; i < 100; i++) other.add(i / 10, i % 3 === 0);
  expect(other.result()).toBeNull();
  const values = fc.array(
    fc.integer({ min: -1000, max: 1000 }).map((n) => n / 64),
    { minLength: 4, maxLength: 50 },
  );
  fc.assert(
    fc.property(values, fc.integer({ min: -900, max: 900 }), (excesses, n) => {
      const threshold = n / 64;
      const one = createCut();
      for (const excess of excesses) one.add(excess, excess >= threshold);
      const found = one.result();
      const kept = excesses.filter((excess) => excess >= threshold);
      if (kept.length === 0 || kept.length === excesses.length) expect(found).toBeNull();
      else expect(excesses.filter((excess) => excess >= found!)).toEqual(kept);
    }),
  );
});

it('counts the groups beyond its limit together, and shows the forty that differ most', () => {
  const few = createGroups(2);
  for (const name of ['x', 'y', 'z', 'w']) few.add(few.numberOf(name), 1, 0.5);
  const { groups } = few.report('host', 'host', true);
  expect(groups.map(({ name, only_a }) => [name, only_a])).toEqual([
    ['(others)', 2],
    ['x', 1],
    ['y', 1],
  ]);
  const many = createGroups();
  for (let i = 0; i < 50; i++) for (let n = 0; n <= i; n++) many.add(many.numberOf(`g${i}`), 2, 1);
  const report = many.report('host', 'host', true);
  expect(report.groups).toHaveLength(40);
  expect(report.groups[0]).toMatchObject({ name: 'g49', only_b: 50, flip_rate: 1 });
  expect(report).toMatchObject({ groups_total: 50, others: { eligible: 55, only_b: 55, difference: 1 } });
});
