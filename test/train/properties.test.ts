import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '#tokensieve/onnx/graph.js';
import { keptOf } from '#tokensieve/select/share.js';
import { rankedWeights } from '#tokensieve/train/graph/ranking.js';
import {
  CHUNK,
  elementsOf,
  emptyVectors,
  groupLength,
  layOut,
  PARAMETER_GROUPS,
  paddedLength,
} from '#tokensieve/train/parameters.js';
import { rankTokens } from '#tokensieve/train/rank.js';
import { learningRate, stepRates } from '#tokensieve/train/schedule.js';
import { runGraph } from '../support/run-graph.js';

describe('layOut', () => {
  const shapes = fc.array(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }), { maxLength: 20 });

  it('gives every tensor a place of its own, in order and without gaps', () => {
    fc.assert(
      fc.property(shapes, (all) => {
        const parameters = layOut(all.map((shape, index) => ({ name: `t${index}`, shape })));
        const vectors = emptyVectors(parameters);
        parameters.forEach((parameter, index) => {
          elementsOf(vectors, parameter).fill(index + 1);
        });
        for (const group of PARAMETER_GROUPS) {
          const expected = parameters.flatMap(({ shape }, index) => {
            const own = shape.length >= 2 === (group === 'decayed');
            return own ? Array<number>(shape.reduce((a, b) => a * b, 1)).fill(index + 1) : [];
          });
          const length = groupLength(parameters, group);
          expect([...vectors[group].subarray(0, length)]).toEqual(expected);
          expect(vectors[group].subarray(length).every((entry) => entry === 0)).toBe(true);
        }
      }),
    );
  });

  it('pads long vectors alone, to whole chunks', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (length) => {
        const padded = paddedLength(length);
        expect(padded).toBeGreaterThanOrEqual(length);
        expect(padded - length).toBeLessThan(CHUNK);
        if (length <= CHUNK) expect(padded).toBe(length);
        else expect(padded % CHUNK).toBe(0);
      }),
    );
  });
});

describe('learningRate', () => {
  const plans = fc
    .record({
      steps: fc.integer({ min: 1, max: 5000 }),
      warmup_steps: fc.integer({ min: 0, max: 300 }),
      final: fc.double({ min: 0, max: 1, noNaN: true }),
      kind: fc.constantFrom('cosine' as const, 'constant' as const),
      peak: fc.double({ min: 1e-6, max: 1, noNaN: true }),
    })
    .filter(({ steps, warmup_steps: warmup }) => warmup < steps);

  it('rises to its peak in equal steps, and falls to its end without rising again', () => {
    fc.assert(
      fc.property(plans, ({ steps, peak, ...schedule }) => {
        const { warmup_steps: warmup, final, kind } = schedule;
        const rate = (step: number): number => learningRate(step, steps, schedule, peak);
        const near = (found: number, expected: number): void =>
          expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-12 * peak);
        for (let step = 1; step <= Math.min(warmup, 20); step++) near(rate(step), (peak * step) / warmup);
        if (warmup > 0) near(rate(warmup), peak);
        near(rate(steps), kind === 'cosine' ? final * peak : peak);
        if (kind === 'cosine') {
          const middle = warmup + (steps - warmup) / 2;
          if (Number.isInteger(middle)) near(rate(middle), ((1 + final) / 2) * peak);
        }
        for (let step = Math.max(2, warmup + 1); step <= Math.min(steps, warmup + 50); step++) {
          if (step - 1 >= warmup) expect(rate(step)).toBeLessThanOrEqual(rate(step - 1) + 1e-12 * peak);
        }
      }),
    );
  });

  it('is the rate of the scalars that the graph is given', () => {
    const optimizer = {
      learning_rate: 2e-3,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weight_decay: 0.1,
      clip: 1,
    };
    const schedule = { kind: 'cosine', warmup_steps: 3, final: 0.1 } as const;
    for (let step = 1; step <= 20; step++) {
      const rate = learningRate(step, 20, schedule, 2e-3);
      const [stepSize, floor, shrink, same] = stepRates(step, 20, schedule, optimizer);
      const root = Math.sqrt(1 - 0.95 ** step);
      expect(same).toBe(rate);
      expect((stepSize * (1 - 0.9 ** step)) / root).toBeCloseTo(rate, 12);
      expect(floor / root).toBeCloseTo(1e-8, 20);
      expect((1 - shrink) / 0.1).toBeCloseTo(rate, 12);
    }
  });
});

describe('ranking', () => {
  // Scores of few values, so that ties are everywhere; what is no target may hold anything.
  const cases = fc
    .record({
      groups: fc.integer({ min: 1, max: 5 }),
      size: fc.integer({ min: 1, max: 40 }),
      keepPpm: fc.oneof(fc.integer({ min: 1, max: 1_000_000 }), fc.constantFrom(1, 600_000, 1_000_000)),
      rounding: fc.constantFrom('floor' as const, 'ceil' as const),
    })
    .chain((sizes) => {
      const count = sizes.groups * sizes.size;
      const lists = { minLength: count, maxLength: count };
      return fc.record({
        sizes: fc.constant(sizes),
        scores: fc.array(fc.integer({ min: -3, max: 3 }), lists),
        eligible: fc.array(fc.constantFrom(0, 1, 1), lists),
        rest: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 1e9),
      });
    })
    .map(({ sizes, scores, eligible, rest }) => ({
      ...sizes,
      eligible: Float32Array.from(eligible),
      scores: Float32Array.from(scores, (score, i) => (eligible[i] === 1 ? score / 4 : rest)),
    }));

  it('keeps the stated number of the highest scores of every group, ties to the earlier', () => {
    fc.assert(
      fc.property(cases, ({ groups, size, keepPpm, rounding, scores, eligible }) => {
        const weights = rankTokens(scores, eligible, size, { keepPpm, rounding });
        for (let group = 0; group < groups; group++) {
          const places = Array.from({ length: size }, (_, i) => group * size + i);
          const targets = places.filter((i) => eligible[i] === 1);
          const kept = places.filter((i) => weights[i] === 1);
          const exact = (targets.length * keepPpm) / 1_000_000;
          const wanted = Math.max(1, rounding === 'floor' ? Math.floor(exact) : Math.ceil(exact));
          expect(kept.length).toBe(targets.length === 0 ? 0 : wanted);
          expect(kept.length).toBe(keptOf(keepPpm, targets.length, rounding));
          for (const i of kept) {
            expect(eligible[i]).toBe(1);
            for (const j of targets.filter((one) => weights[one] === 0)) {
              const ahead = scores[i]! > scores[j]! || (scores[i] === scores[j] && i < j);
              expect(ahead).toBe(true);
            }
          }
        }
      }),
    );
  });

  it('is the same in the graph as on the host', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ groups, size, keepPpm, rounding, scores, eligible }) => {
        const g = new GraphBuilder('ranking');
        const dims = [groups, size];
        const inputs = ['scores', 'eligible'].map((name) => g.input(name, 'float32', dims));
        const [score = '', target = ''] = inputs;
        const made = rankedWeights(g, score, target, [groups, size], { keepPpm, rounding });
        g.output(made, 'weights', 'float32', dims);
        const found = await runGraph(g.build(), {
          scores: { data: scores, dims },
          eligible: { data: eligible, dims },
        });
        expect(found['weights']!.data).toEqual(rankTokens(scores, eligible, size, { keepPpm, rounding }));
      }),
      { numRuns: 60 },
    );
  });
});
