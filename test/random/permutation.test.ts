import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { permutation } from '#tokensieve/numbers/permutation.js';
import { philox4x32, philoxKey } from '#tokensieve/numbers/philox.js';

const key = philoxKey(7, 'test');

describe('a keyed permutation', () => {
  it('holds every number once, for any size, and follows from key and counter alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.nat(), fc.nat(), (n, a, b) => {
        const order = permutation(n, key, a, b, 0);
        expect([...order].sort((x, y) => x - y)).toEqual(Array.from({ length: n }, (_, i) => i));
        expect(permutation(n, key, a, b, 0)).toEqual(order);
      }),
    );
    const orders = [
      permutation(50, key, 0, 0, 0),
      permutation(50, key, 1, 0, 0),
      permutation(50, key, 0, 1, 0),
      permutation(50, key, 0, 0, 1),
      permutation(50, philoxKey(8, 'test'), 0, 0, 0),
    ].map((order) => order.join());
    expect(new Set(orders).size).toBe(5);
  });

  it('is Fisher–Yates by the words that its docstring names', () => {
    const n = 11;
    const slow = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const words = new Uint32Array(4);
      philox4x32(Math.floor(i / 4), 5, 6, 7, key, words, 0);
      const j = Number((BigInt(words[i % 4]!) * BigInt(i + 1)) >> 32n);
      [slow[i], slow[j]] = [slow[j]!, slow[i]!];
    }
    expect([...permutation(n, key, 5, 6, 7)]).toEqual(slow);
  });

  it('puts every number at every place about equally often', () => {
    const n = 5;
    const draws = 5000;
    const counts = new Float64Array(n * n);
    for (let a = 0; a < draws; a++) {
      for (const [i, value] of permutation(n, key, a, 0, 0).entries()) counts[value * n + i]!++;
    }
    // Chi-square with (n − 1)² = 16 degrees of freedom: above 39.25 once in a thousand seeds.
    const expected = draws / n;
    expect(counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)).toBeLessThan(39.25);
  });
});
