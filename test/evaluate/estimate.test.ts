import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exponential, lossTally, ratioOfSums, shareOf } from '#tokensieve/evaluate/estimate.js';

const estimateOf = (clusters: readonly (readonly [number, number])[]) => {
  const ratio = ratioOfSums();
  for (const [y, x] of clusters) ratio.add(y, x);
  return ratio.estimate();
};

describe('a ratio of sums over clusters', () => {
  it('is the mean and its cluster-robust error, as the formula in two passes has them', () => {
    const cluster = fc.tuple(fc.double({ min: 0, max: 1e4, noNaN: true }), fc.integer({ min: 1, max: 2000 }));
    fc.assert(
      fc.property(fc.array(cluster, { minLength: 2, maxLength: 40 }), (clusters) => {
        const sumX = clusters.reduce((sum, [, x]) => sum + x, 0);
        const mean = clusters.reduce((sum, [y]) => sum + y, 0) / sumX;
        const squares = clusters.reduce((sum, [y, x]) => sum + (y - mean * x) ** 2, 0);
        const error = Math.sqrt((clusters.length / (clusters.length - 1)) * squares) / sumX;
        const found = estimateOf(clusters);
        expect(Math.abs(found.value! - mean)).toBeLessThanOrEqual(1e-10 * Math.max(1, mean));
        expect(Math.abs(found.stderr! - error)).toBeLessThanOrEqual(1e-6 * Math.max(1e-3, error, mean));
      }),
    );
  });

  it('of clusters of one token is the textbook error of a mean', () => {
    const losses = [2.5, 3.25, 1, 4.75, 2];
    const mean = losses.reduce((a, b) => a + b) / 5;
    const deviation = Math.sqrt(losses.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 4);
    const found = estimateOf(losses.map((loss) => [loss, 1] as const));
    expect(found.value).toBeCloseTo(2.7, 12);
    expect(found.stderr).toBeCloseTo(deviation / Math.sqrt(5), 12);
  });

  it('keeps its digits where residuals are a billionth of the sums', () => {
    // Loss 3 ± 1e-9 a token over documents of a million tokens: squares of the sums would swallow it.
    const found = estimateOf(
      Array.from({ length: 100 }, (_, d) => [1e6 * (3 + (d % 2 === 0 ? 1e-9 : -1e-9)), 1e6] as const),
    );
    expect(found.stderr).toBeGreaterThan(0.9e-10);
    expect(found.stderr).toBeLessThan(1.1e-10);
  });

  it('tells no figure from nothing and no error from one document', () => {
    expect(estimateOf([])).toEqual({ value: null, stderr: null });
    expect(estimateOf([[0, 0]])).toEqual({ value: null, stderr: null });
    expect(estimateOf([[6, 3]])).toEqual({ value: 2, stderr: null });
  });

  it('counts a cluster that has loss and no bytes, wherever it comes', () => {
    // Σ y / Σ x = 9 / 4; residuals 1, 3.5 − 4.5, 4.5 − 4.5.
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
    ]) {
      const clusters = [
        [1, 0],
        [3.5, 2],
        [4.5, 2],
      ] as const;
      const { value, stderr } = estimateOf(order.map((at) => clusters[at]!));
      expect(value).toBeCloseTo(2.25, 12);
      expect(stderr).toBeCloseTo(Math.sqrt((3 / 2) * 2) / 4, 12);
    }
  });
});

it('a share has the error of the sample deviation', () => {
  const verdicts = [1, 0, 0, 1, 1, 0, 1];
  const mean = 4 / 7;
  const deviation = Math.sqrt(verdicts.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 6);
  const { value, stderr } = shareOf(4, 7);
  expect(value).toBe(mean);
  expect(stderr).toBeCloseTo(deviation / Math.sqrt(7), 14);
  expect(shareOf(0, 0)).toEqual({ value: null, stderr: null });
  expect(shareOf(1, 1)).toEqual({ value: 1, stderr: null });
});

it('perplexity and bits per byte follow from the sums', () => {
  const tally = lossTally();
  tally.add({ tokens: 5, targets: 4, bytes: 16, loss: 8 });
  tally.add({ tokens: 3, targets: 2, bytes: 4, loss: 7 });
  const { documents, tokens, targets, bytes, loss, perplexity, bitsPerByte } = tally.summary();
  expect({ documents, tokens, targets, bytes }).toEqual({ documents: 2, tokens: 8, targets: 6, bytes: 20 });
  expect(loss.value).toBeCloseTo(2.5, 14);
  expect(perplexity.value).toBeCloseTo(Math.exp(2.5), 12);
  expect(perplexity.stderr).toBeCloseTo(Math.exp(2.5) * loss.stderr!, 12);
  expect(bitsPerByte.value).toBeCloseTo(15 / Math.LN2 / 20, 14);
  expect(exponential({ value: null, stderr: null })).toEqual({ value: null, stderr: null });
});
