import fc from 'fast-check';
import { expect, it } from 'vitest';
import { diffRuns, formatDiff } from '#tokensieve/dataset/diff.js';
import { createDifference } from '#tokensieve/dataset/difference.js';
import { type Row, withFolder } from './batches.js';
import { type PartOptions, storage, writePart } from './runs.js';

const COLUMNS = ['reference_loss', 'weight'] as const;

/** Two runs of the given parts. */
async function compare(a: readonly PartOptions[], b: readonly PartOptions[]) {
  return withFolder(async (folder) => {
    for (const part of a) await writePart(`${folder}/a`, part);
    for (const part of b) await writePart(`${folder}/b`, part);
    return diffRuns({ storage, folder: `${folder}/a` }, { storage, folder: `${folder}/b/` });
  });
}

const withValues =
  (row: number, column: string, change: (values: readonly number[]) => number[]) => (rows: Row[]) =>
    rows.map((one, i) =>
      i === row ? { ...one, columns: { ...one.columns, [column]: change(one.columns[column]!) } } : one,
    );

it('finds no difference between equal runs', async () => {
  const parts = [{ columns: COLUMNS }, { columns: COLUMNS, part: 1 }];
  const { total, shards } = await compare(parts, parts);
  expect(total).toEqual({
    tokens: 48,
    eligible: 42,
    selection: { keptA: 24, keptB: 24, keptBoth: 24, flipped: 0, flipRate: 0, agreement: 1 },
    losses: { reference_loss: { count: 42, unpaired: 0, max: 0, mean: 0, p999: 0 } },
  });
  expect(shards).toEqual([{ shard: 'a/x.parquet', ...total }]);
});

it('counts flipped tokens and loss differences by shard', async () => {
  const rows = (all: Row[]) =>
    withValues(1, 'reference_loss', (values) => values.map((value, i) => (i === 2 ? value + 0.5 : value)))(
      withValues(2, 'weight', () => [0, 0, 1, 1, 0, 1, 0, 1])(all),
    );
  const report = await compare(
    [{ columns: COLUMNS }, { columns: COLUMNS, shard: 'b' }, { columns: COLUMNS, shard: 'only-a' }],
    [
      { columns: COLUMNS, rows },
      { columns: COLUMNS, shard: 'b' },
    ],
  );
  expect(report.shards.map(({ shard, selection }) => [shard, selection!.flipped])).toEqual([
    ['a/x.parquet', 2],
    ['b', 0],
  ]);
  expect(report.shards[0]).toMatchObject({
    eligible: 21,
    selection: { keptA: 12, keptB: 12, keptBoth: 11, flipped: 2, flipRate: 2 / 21, agreement: 11 / 13 },
    losses: { reference_loss: { count: 21, max: 0.5, mean: 0.5 / 21, p999: 0.5 } },
  });
  expect(report.total).toMatchObject({ tokens: 48, selection: { flipped: 2 } });
  expect([report.onlyInA, report.onlyInB]).toEqual([['only-a/00000.manifest.json'], []]);
  const lines = formatDiff(report);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toBe(
    'a/x.parquet: 24 tokens, 21 eligible; kept 12 and 12, 2 flipped (9.5238 %), agreement 84.6154 %; ' +
      'reference_loss differs by at most 0.500, mean 0.0238, 99.9 % within 0.500 nats',
  );
});

it('compares losses of scored runs in other precisions, and values that one run lacks', async () => {
  const rows = (all: Row[]) =>
    all.map((row) => ({
      ...row,
      columns: Object.fromEntries(
        Object.entries(row.columns).map(([name, values]) => [
          name,
          values.map((v, i) => (i === 1 ? Number.NaN : v + 0.0001)),
        ]),
      ),
    }));
  const { total } = await compare([{}], [{ rows, lossPrecision: 'fp16' }]);
  expect(total.selection).toBeUndefined();
  expect(total.eligible).toBe(21);
  const { count, unpaired, max } = total.losses.current_loss!;
  expect([count, unpaired]).toEqual([18, 3]);
  expect(max).toBeLessThan(0.002);
});

it('refuses runs over other tokens, naming the first position', async () => {
  const other = (change: (row: Row) => Row) => ({
    rows: (all: Row[]) => all.map((row, i) => (i === 1 ? change(row) : row)),
  });
  await expect(
    compare([{}], [other((row) => ({ ...row, ids: row.ids.map((id, i) => (i === 5 ? 99 : id)) }))]),
  ).rejects.toThrow(/row 1, position 5 is token 15 and 99/);
  const shorter = (row: Row): Row => ({
    ...row,
    ids: row.ids.slice(0, 7),
    columns: Object.fromEntries(
      Object.entries(row.columns).map(([name, values]) => [name, values.slice(0, 7)]),
    ),
  });
  await expect(compare([{}], [other(shorter)])).rejects.toThrow(/row 1 has 8 and 7 tokens/);
  await expect(compare([{}], [{ rows: (all) => all.slice(0, 2) }])).rejects.toThrow(
    /b\/a\/x\.parquet\/00000\.arrow ends before row 2/,
  );
  await expect(compare([{ shard: 'x' }], [{ shard: 'y' }])).rejects.toMatchObject({
    reach: 'usage',
    code: 'not-comparable',
  });
});

it('aligns files whose record batches are cut elsewhere', async () => {
  const long = (length: number, before: number) => (): Row[] =>
    Array.from({ length: 200 }, (_, row) => {
      const extra = row === 0 ? before : 0;
      return {
        id: BigInt(row),
        ids: Array.from({ length }, (_, i) => i),
        columns: { reference_loss: Array.from({ length }, (_, i) => (i === 0 ? Number.NaN : 1)) },
        // Many segments close a record batch early.
        segments: Array.from({ length: extra + 1 }, (_, i) => [0n, 0, i === 0 ? length : 0, 0n, 0n] as const),
      };
    });
  const columns = ['reference_loss'] as const;
  const { total } = await compare(
    [{ columns, rows: long(1000, 0) }],
    [{ columns, rows: long(1000, 65_530) }],
  );
  expect(total).toMatchObject({
    tokens: 200_000,
    eligible: 199_800,
    losses: { reference_loss: { max: 0, count: 199_800 } },
  });
});

it('has quantiles within 1/128 above the exact ones', () => {
  const values = fc.array(fc.float({ min: 0, max: 1000, noNaN: true }), { minLength: 1, maxLength: 3000 });
  fc.assert(
    fc.property(values, (differences) => {
      const counter = createDifference();
      counter.add(Float32Array.from(differences), new Float32Array(differences.length));
      const { p999, max, mean } = counter.result();
      const sorted = differences.toSorted((a, b) => a - b);
      const exact = sorted[Math.ceil(0.999 * sorted.length) - 1]!;
      expect(p999).toBeGreaterThanOrEqual(exact);
      expect(p999).toBeLessThanOrEqual(Math.max(exact * (1 + 1 / 128), 1e-38));
      expect(max).toBe(sorted.at(-1));
      expect(mean).toBeCloseTo(differences.reduce((sum, value) => sum + value, 0) / differences.length, 6);
    }),
    { numRuns: 50 },
  );
});
