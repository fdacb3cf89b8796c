import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bitsOf, cutAt, keyOfBits, scoreOfKey } from '#tokensieve/select/radix.js';
import { keptOf, ppmOf, shareOf } from '#tokensieve/select/share.js';
import { select, type VectorPart } from './support.js';

/** Losses on a coarse grid tie often; fine ones test the low half of the radix; ±0 and tiny ones the sign. */
const loss = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 6 }).map((n) => n / 2) },
  { weight: 2, arbitrary: fc.float({ min: 0, max: 12, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e-30, 1e-42, -1e-7) },
);
const token = fc.option(fc.tuple(loss, loss), { freq: 4, nil: null });
const row = fc.array(token, { minLength: 0, maxLength: 12 }).map((tokens) => ({
  reference_loss: tokens.map((pair) => (pair === null ? null : pair[0])),
  current_loss: tokens.map((pair) => (pair === null ? null : pair[1])),
}));
const rows = fc.array(row, { maxLength: 8 });
/** Two or three shards with one to three parts each, in global order. */
const dataset = fc
  .array(fc.array(rows, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 })
  .map((shards) =>
    shards.flatMap((parts, s) =>
      parts.map((own, part): VectorPart => ({ shard: `shard-${s}`, part, rows: own })),
    ),
  );
const keep = fc.integer({ min: 1, max: 1000 }).map((n) => n / 1000);

interface Flat {
  readonly p: number;
  readonly r: number;
  readonly i: number;
  readonly score: number;
}

/** Every eligible token with its score, in global order. */
const flatten = (parts: readonly VectorPart[]): Flat[] =>
  parts.flatMap((part, p) =>
    part.rows.flatMap((own, r) =>
      own.current_loss!.flatMap((current, i) => {
        const reference = own.reference_loss![i];
        if (current === null || reference === null) return [];
        return [{ p, r, i, score: Math.fround(Math.fround(current) - Math.fround(reference!)) }];
      }),
    ),
  );

/** Weights by sorting every group whole. `groupOf` names the group of a token. */
function naive(parts: readonly VectorPart[], share: number, groupOf: (token: Flat) => string): number[][][] {
  const weights = parts.map((part) => part.rows.map((own) => own.current_loss!.map(() => 0)));
  const groups = groupBy(flatten(parts), groupOf);
  for (const group of groups.values()) {
    const kept = Math.max(1, Number((BigInt(Math.round(share * 1e6)) * BigInt(group.length)) / 1_000_000n));
    const order = group
      .map((own, index) => ({ own, index }))
      .sort((a, b) => b.own.score - a.own.score || a.index - b.index);
    for (const { own } of order.slice(0, kept)) weights[own.p]![own.r]![own.i] = 1;
  }
  return weights;
}

function groupBy(tokens: readonly Flat[], groupOf: (token: Flat) => string): Map<string, Flat[]> {
  const groups = new Map<string, Flat[]>();
  for (const own of tokens) groups.set(groupOf(own), [...(groups.get(groupOf(own)) ?? []), own]);
  return groups;
}

/** Windows by the documented rule, row by row. */
function windowNumbers(part: VectorPart, size: number): number[] {
  let window = 0;
  let filled = 0;
  return part.rows.map((own) => {
    const length = own.current_loss!.length;
    if (filled + length > size) {
      window++;
      filled = 0;
    }
    filled += length;
    return window;
  });
}

const slm = { method: 'slm', allow_constant: true } as const;

describe('rankings against a sort', () => {
  const groupings: Record<string, (parts: readonly VectorPart[]) => (token: Flat) => string> = {
    sequence:
      () =>
      ({ p, r }) =>
        `${p} ${r}`,
    'window:17': (parts) => {
      const numbers = parts.map((part) => windowNumbers(part, 17));
      return ({ p, r }) => `${p} ${numbers[p]![r]}`;
    },
    shard:
      (parts) =>
      ({ p }) =>
        parts[p]!.shard,
    dataset: () => () => 'all',
  };
  it.each(Object.keys(groupings))(
    'scope %s keeps exactly the top k, ties to the earlier token',
    async (scope) => {
      await fc.assert(
        fc.asyncProperty(dataset, keep, fc.integer({ min: 1, max: 9 }), async (parts, share, batchRows) => {
          const { weights } = await select({ ...slm, scope, keep: share }, parts, { batchRows });
          expect(weights).toEqual(naive(parts, share, groupings[scope]!(parts)));
        }),
        { numRuns: 150 },
      );
    },
  );

  it('does not depend on batches, on concurrency, or on the order in which parts are weighed', async () => {
    const methods = fc.constantFrom(
      { method: 'slm' },
      { method: 'random', seed: 5 },
      { method: 'sampled', seed: 5, keep: 0.3 },
      { method: 'band', band: [0.2, 0.7] as [number, number] },
      { method: 'soft' },
    );
    const scopes = fc.constantFrom('sequence', 'window:13', 'shard', 'dataset');
    await fc.assert(
      fc.asyncProperty(
        dataset,
        methods,
        scopes,
        fc.integer({ min: 1, max: 9 }),
        async (parts, method, scope, batchRows) => {
          const settings = { ...method, scope, allow_constant: true };
          const order = parts.map((_, p) => p).reverse();
          const a = await select(settings, parts, { batchRows: 100 });
          const b = await select(settings, parts, { batchRows, concurrency: 4, order });
          expect(b).toEqual(a);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('dataset scope over parts equals dataset scope over their concatenation', async () => {
    await fc.assert(
      fc.asyncProperty(dataset, keep, async (parts, share) => {
        const settings = { ...slm, scope: 'dataset', keep: share };
        const whole: VectorPart = { shard: 'all', part: 0, rows: parts.flatMap((part) => part.rows) };
        const apart = await select(settings, parts);
        const together = await select(settings, [whole]);
        expect(apart.weights.flat()).toEqual(together.weights.flat());
      }),
      { numRuns: 100 },
    );
  });

  it('adjoining bands cover every eligible token once', async () => {
    await fc.assert(
      fc.asyncProperty(dataset, fc.integer({ min: 1, max: 99 }), async (parts, cut) => {
        const big = flatten(parts).length;
        fc.pre(big >= 100);
        const band = async (a: number, b: number) =>
          (
            await select({ method: 'band', band: [a, b], scope: 'dataset', allow_constant: true }, parts)
          ).weights.flat(2);
        const low = await band(0, cut / 100);
        const high = await band(cut / 100, 1);
        const clm = (await select({ method: 'clm' }, parts)).weights.flat(2);
        expect(low.map((weight, i) => weight + high[i]!)).toEqual(clm);
      }),
      { numRuns: 40 },
    );
  });

  it('counts what it weighs', async () => {
    await fc.assert(
      fc.asyncProperty(dataset, fc.constantFrom('sequence', 'window:20', 'dataset'), async (parts, scope) => {
        const { weights, statistics } = await select({ method: 'soft', scope, allow_constant: true }, parts);
        parts.forEach((part, p) => {
          const flat = weights[p]!.flat();
          const eligible = flatten([part]).length;
          expect(statistics[p]).toMatchObject({
            tokens: flat.length,
            eligible,
            kept: flat.filter((weight) => weight > 0).length,
            weightSum: expect.closeTo(
              flat.reduce((sum, weight) => sum + weight, 0),
              9,
            ),
          });
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe('radix', () => {
  it('keys order as fp32 numbers do, and come back', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), fc.float({ noNaN: true }), (a, b) => {
        const [x, y] = bitsOf(Float32Array.of(a, b)).values();
        const [keyA, keyB] = [keyOfBits(x!), keyOfBits(y!)];
        expect(Math.sign(keyA - keyB)).toBe(a === b ? 0 : a < b ? -1 : 1);
        expect(scoreOfKey(keyA) === a).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([100, 40_000])('finds every rank among %i scores', (count) => {
    const scores = Float32Array.from({ length: count }, (_, i) => Math.fround(((i * 7919) % 997) / 3 - 100));
    const keys = Uint32Array.from(bitsOf(scores), keyOfBits);
    const sorted = scores.slice().sort().reverse();
    for (const rank of [1, 2, count >> 1, count - 1, count]) {
      const cut = cutAt(keys, count, rank);
      expect(cut.score).toBe(sorted[rank - 1]);
      expect(cut.ties).toBe(rank - sorted.filter((score) => score > cut.score).length);
    }
  });
});

describe('shares', () => {
  it('are exact for any count', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), fc.maxSafeNat(), (ppm, count) => {
        const product = BigInt(ppm) * BigInt(count);
        expect(BigInt(shareOf(ppm, count, 'floor'))).toBe(product / 1_000_000n);
        expect(BigInt(shareOf(ppm, count, 'ceil'))).toBe((product + 999_999n) / 1_000_000n);
      }),
    );
  });

  it('take any fraction of six decimals, and no finer one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), (ppm) => {
        expect(ppmOf(Number(`${ppm}e-6`), 'keep')).toBe(ppm);
      }),
    );
    for (const fine of [0.6000001, 1 / 3, 0.1234567, 1e-7, 1e-9, 1e-12, 0.6000000009, 0.000001000001]) {
      expect(() => ppmOf(fine, 'keep')).toThrow(/keep is .* at most six decimals/);
    }
    expect(keptOf(1, 10, 'floor')).toBe(1);
    expect(keptOf(1, 0, 'ceil')).toBe(0);
  });
});
