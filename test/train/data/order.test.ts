import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextSource } from '#tokensieve/train/data/mix.js';
import { rowsOfWindow, windowsFrom, windowsOfEpoch } from '#tokensieve/train/data/order.js';
import { stepsOf } from '#tokensieve/train/data/steps.js';
import { trainSchema } from '#tokensieve/train/settings.js';

const parts = fc.array(
  fc.record({ rows: fc.integer({ min: 0, max: 20 }), width: fc.integer({ min: 1, max: 9 }) }),
  { minLength: 1, maxLength: 12 },
);
const sizes = (some: readonly { rows: number; width: number }[]) =>
  some.map(({ rows, width }) => ({ rows, tokens: rows * width }));
const rules = fc.record({
  seed: fc.nat(),
  source: fc.nat({ max: 63 }),
  windowTokens: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 200 })),
});

describe('the order of a source', () => {
  it('an epoch visits every row exactly once, in windows within the bound', () => {
    fc.assert(
      fc.property(parts, rules, fc.nat({ max: 5 }), (some, rule, epoch) => {
        const all = sizes(some);
        const visited = new Map<string, number>();
        let first = 0;
        for (const [index, window] of windowsOfEpoch(all, rule, epoch).entries()) {
          expect(window).toMatchObject({ epoch, index, first });
          first += window.rows;
          const tokens = window.parts.reduce((sum, part) => sum + all[part]!.tokens, 0);
          if (window.parts.length > 1) expect(tokens).toBeLessThanOrEqual(rule.windowTokens);
          const places = window.parts.flatMap((part) =>
            Array.from({ length: all[part]!.rows }, (_, row) => `${part} ${row}`),
          );
          expect(places.length).toBe(window.rows);
          for (const row of rowsOfWindow(window, rule)) {
            const place = places[row]!;
            visited.set(place, (visited.get(place) ?? 0) + 1);
          }
        }
        expect(visited.size).toBe(all.reduce((sum, { rows }) => sum + rows, 0));
        expect([...visited.values()].every((count) => count === 1)).toBe(true);
      }),
    );
  });

  it('groups as many parts as fit: two neighbouring windows never fit into one', () => {
    fc.assert(
      fc.property(parts, rules, (some, rule) => {
        fc.pre(rule.windowTokens > 0);
        const all = sizes(some);
        const windows = windowsOfEpoch(all, rule, 0);
        for (const [i, window] of windows.entries()) {
          const next = windows[i + 1]?.parts[0];
          if (next === undefined) continue;
          const tokens = window.parts.reduce((sum, part) => sum + all[part]!.tokens, 0);
          expect(tokens + all[next]!.tokens).toBeGreaterThan(rule.windowTokens);
        }
      }),
    );
  });

  it('without shuffling is the files’ order', () => {
    const all = [3, 0, 2].map((rows) => ({ rows, tokens: rows }));
    const rule = { seed: 1, source: 0, windowTokens: 0 };
    expect(windowsOfEpoch(all, rule, 4).map((window) => window.parts)).toEqual([[0], [2]]);
    expect([...rowsOfWindow(windowsOfEpoch(all, rule, 4)[0]!, rule)]).toEqual([0, 1, 2]);
  });

  it('differs between epochs, seeds and sources', () => {
    const all = Array.from({ length: 8 }, () => ({ rows: 8, tokens: 8 }));
    const orders = [
      [0, 0, 0],
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ].map(([seed, source, epoch]) => {
      const rule = { seed: seed!, source: source!, windowTokens: 16 };
      const windows = windowsOfEpoch(all, rule, epoch!);
      return JSON.stringify(windows.map((window) => [window.parts, [...rowsOfWindow(window, rule)]]));
    });
    expect(new Set(orders).size).toBe(4);
  });

  it('is entered at any row without those before it', () => {
    fc.assert(
      fc.property(parts, rules, fc.nat({ max: 200 }), (some, rule, drawn) => {
        const all = sizes(some);
        const perEpoch = all.reduce((sum, { rows }) => sum + rows, 0);
        fc.pre(perEpoch > 0);
        const take = (from: number, count: number): string[] => {
          const rows: string[] = [];
          for (const { window, skip } of windowsFrom(all, rule, from)) {
            for (const row of rowsOfWindow(window, rule).subarray(skip)) {
              rows.push(`${window.epoch} ${window.index} ${row}`);
              if (rows.length === count) return rows;
            }
          }
          return rows;
        };
        expect(take(drawn, 5)).toEqual(take(0, drawn + 5).slice(drawn));
      }),
      { numRuns: 50 },
    );
  });
});

describe('mixing', () => {
  const ratio = fc.oneof(fc.integer({ min: 1, max: 10 }), fc.double({ min: 1e-3, max: 100, noNaN: true }));

  it('keeps every prefix within one row of the ratios', () => {
    fc.assert(
      fc.property(fc.array(ratio, { minLength: 1, maxLength: 10 }), (ratios) => {
        const whole = ratios.reduce((sum, one) => sum + one, 0);
        const counts = ratios.map(() => 0);
        for (let rows = 1; rows <= 300; rows++) {
          counts[nextSource(ratios, counts)]!++;
          for (const [i, count] of counts.entries()) {
            expect(Math.abs(count - (rows * ratios[i]!) / whole)).toBeLessThan(1 + 1e-9);
          }
        }
      }),
    );
  });

  it('does so where drawing from the largest deficit would not', () => {
    const ratios = [17, 17, 1, 1, 3];
    const whole = 39;
    const furthest = (draw: (counts: readonly number[]) => number): number => {
      const counts = ratios.map(() => 0);
      let most = 0;
      for (let rows = 1; rows <= whole; rows++) {
        counts[draw(counts)]!++;
        for (const [i, count] of counts.entries())
          most = Math.max(most, Math.abs(count - (rows * ratios[i]!) / whole));
      }
      return most;
    };
    const deficits = (counts: readonly number[]) => {
      const rows = 1 + counts.reduce((sum, count) => sum + count, 0);
      return counts.map((count, i) => rows * ratios[i]! - count * whole);
    };
    expect(furthest((counts) => deficits(counts).indexOf(Math.max(...deficits(counts))))).toBeCloseTo(
      40 / 39,
    );
    expect(furthest((counts) => nextSource(ratios, counts))).toBeLessThan(1);
  });

  it('gives ties to the earlier source', () => {
    const counts = [0, 0, 0];
    const drawn = Array.from({ length: 6 }, () => {
      const source = nextSource([1, 1, 1], counts);
      counts[source]!++;
      return source;
    });
    expect(drawn).toEqual([0, 1, 2, 0, 1, 2]);
  });
});

describe('steps of a run', () => {
  const batchOf = (batch: object) =>
    trainSchema.parse({ out: 'o', model: { start: 'm' }, data: { sources: ['d'] }, batch }).batch;
  const source = (rows: number, targets: number, ratio = 1) => ({
    path: 'd',
    ratio,
    rows,
    tokens: targets + rows,
    targets,
    kept: null,
  });
  const steps = (batch: object, ...sources: ReturnType<typeof source>[]) =>
    stepsOf(batchOf({ rows: 4, accumulate: 2, ...batch }), { sources });

  it('are as asked, or from targets and epochs, rounded up', () => {
    expect(steps({ steps: 7 }, source(10, 100))).toBe(7);
    expect(steps({ epochs: 1 }, source(80, 800))).toBe(10);
    expect(steps({ epochs: 1 }, source(81, 800))).toBe(11);
    expect(steps({ epochs: 0.01 }, source(80, 800))).toBe(1);
    // 8 rows a step of 10 targets each.
    expect(steps({ tokens: 800 }, source(80, 800))).toBe(10);
    expect(steps({ tokens: 801 }, source(80, 800))).toBe(11);
    // A third of the rows: the source ends after 3 · 30 rows.
    expect(steps({ epochs: 1 }, source(30, 300), source(10, 100, 2))).toBe(12);
    // Rows of 10 and 20 targets, one to three: 17.5 on average.
    expect(steps({ tokens: 8 * 17.5 }, source(10, 100), source(10, 200, 3))).toBe(1);
  });

  it('cover the epochs of every source, but for the row that mixing may be off by', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ rows: fc.integer({ min: 1, max: 60 }), ratio: fc.integer({ min: 1, max: 9 }) }),
          {
            minLength: 1,
            maxLength: 5,
          },
        ),
        (some) => {
          const count = steps({ epochs: 1 }, ...some.map(({ rows, ratio }) => source(rows, rows, ratio)));
          const counts = some.map(() => 0);
          const ratios = some.map(({ ratio }) => ratio);
          for (let row = 0; row < count * 8; row++) counts[nextSource(ratios, counts)]!++;
          for (const [i, { rows }] of some.entries()) expect(counts[i]).toBeGreaterThan(rows - 1);
        },
      ),
    );
  });
});
