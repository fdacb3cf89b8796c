import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fromHalf, toHalf } from '#tokensieve/numbers/fp16-bf16.js';

/** The value of a half by the definition of the format, independent of the code under test. */
function halfValue(half: number): number {
  const [sign, exponent, fraction] = [half >> 15, (half >> 10) & 31, half & 1023];
  const magnitude =
    exponent === 0 ? (fraction / 1024) * 2 ** -14 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return sign ? -magnitude : magnitude;
}

const FINITE = Array.from({ length: 0x7c00 }, (_, half) => half);

/** The nearest half of a magnitude by search, ties to the even one. */
function nearest(value: number): number {
  let low = 0;
  let high = FINITE.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (halfValue(middle) <= value) low = middle;
    else high = middle - 1;
  }
  if (low === FINITE.length - 1) return low;
  const [below, above] = [value - halfValue(low), halfValue(low + 1) - value];
  return below < above || (below === above && low % 2 === 0) ? low : low + 1;
}

const half = (value: number) => {
  const target = new Uint16Array(1);
  return toHalf(Float32Array.of(value), target) === -1 ? target[0] : 'overflow';
};

it('reads all 65,536 halves exactly, and writes each back as itself', () => {
  const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
  const values = fromHalf(all);
  let wrong = 0;
  for (const bits of all) {
    const exponent = (bits >> 10) & 31;
    if (exponent < 31) wrong += Object.is(values[bits], halfValue(bits)) ? 0 : 1;
    else expect(values[bits]).toBe(bits & 1023 ? Number.NaN : bits >> 15 ? -Infinity : Infinity);
  }
  for (const bits of FINITE) {
    if (half(values[bits]!) !== bits || half(values[bits | 0x8000]!) !== (bits | 0x8000)) wrong++;
  }
  expect(wrong).toBe(0);
});

it('rounds to the nearest half, ties to even', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x477fefff }), (bits) => {
      const value = new Float32Array(Uint32Array.of(bits).buffer)[0]!;
      expect(half(value)).toBe(nearest(value));
      expect(half(-value)).toBe(nearest(value) | 0x8000);
    }),
    { numRuns: 5000 },
  );
  for (const bits of FINITE.slice(0, -1)) {
    const middle = (halfValue(bits) + halfValue(bits + 1)) / 2;
    expect(half(middle)).toBe(bits % 2 === 0 ? bits : bits + 1);
  }
});

it('says which value is beyond a half, and keeps NaN', () => {
  expect(half(65_504)).toBe(0x7bff);
  expect(half(65_519.996)).toBe(0x7bff);
  expect(half(65_520)).toBe('overflow');
  expect(half(-65_520)).toBe('overflow');
  expect(half(Number.POSITIVE_INFINITY)).toBe('overflow');
  expect(half(Number.NaN)).toBe(0x7e00);
  expect(toHalf(Float32Array.of(1, 2, 1e6, 1e7), new Uint16Array(4))).toBe(2);
});
