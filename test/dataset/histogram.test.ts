import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  createHistogram,
  EXCESS_LAYOUT,
  LOSS_LAYOUT,
  mergeHistograms,
} from '#tokensieve/dataset/histogram.js';

const float = fc.float({ min: -40, max: 40 });

it('bins every value by its definition, NaN aside', () => {
  fc.assert(
    fc.property(fc.array(float), (values) => {
      const histogram = createHistogram(EXCESS_LAYOUT);
      histogram.add(Float32Array.from(values));
      const found = histogram.result();
      const numbers = values.filter((value) => !Number.isNaN(value));
      expect(found.count).toBe(numbers.length);
      expect(found.below).toBe(numbers.filter((value) => value < -16).length);
      expect(found.above).toBe(numbers.filter((value) => value >= 16).length);
      for (const [i, n] of found.bins.entries()) {
        const from = -16 + i / 8;
        expect(n).toBe(numbers.filter((value) => value >= from && value < from + 1 / 8).length);
      }
      expect(found.sum).toBe(numbers.reduce((sum, value) => sum + value, 0));
      expect(found.min).toBe(numbers.length ? Math.min(...numbers) : null);
      expect(found.max).toBe(numbers.length ? Math.max(...numbers) : null);
    }),
  );
});

it('does not depend on how values are cut into calls', () => {
  fc.assert(
    fc.property(fc.array(float), fc.nat(), (values, at) => {
      const cut = at % (values.length + 1);
      const [whole, pieces] = [createHistogram(LOSS_LAYOUT), createHistogram(LOSS_LAYOUT)];
      whole.add(Float32Array.from(values));
      pieces.add(Float32Array.from(values.slice(0, cut)));
      pieces.add(Float32Array.from(values.slice(cut)));
      expect(pieces.result()).toEqual(whole.result());
    }),
  );
});

it('merges parts into the histogram of all values', () => {
  const integers = fc.array(fc.integer({ min: -20, max: 40 }), { maxLength: 20 });
  fc.assert(
    fc.property(fc.array(integers, { minLength: 1 }), (parts) => {
      const histogramOf = (values: readonly number[]) => {
        const histogram = createHistogram(LOSS_LAYOUT);
        histogram.add(Float32Array.from(values));
        return histogram.result();
      };
      expect(mergeHistograms(parts.map(histogramOf))).toEqual(histogramOf(parts.flat()));
    }),
  );
});

it('refuses to merge other layouts, or nothing', () => {
  const [a, b] = [createHistogram(LOSS_LAYOUT).result(), createHistogram(EXCESS_LAYOUT).result()];
  expect(() => mergeHistograms([a, b])).toThrow(/256 bins of 0.125 from 0 and 256 bins of 0.125 from -16/);
  expect(() => mergeHistograms([])).toThrow(/at least one/);
});
