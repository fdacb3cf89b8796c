/** Encoders written from the format's description, the naive way, as the inverses of the decoders. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeDeltaIntegers,
  decodeDeltaLengths,
  decodeDeltaStrings,
} from '#tokensieve/corpus/parquet-delta.js';
import { bitWidth, decodeBigEndianBits, decodeHybrid } from '#tokensieve/corpus/parquet-rle.js';
import { varint } from './handmade-parquet.js';

/** Values of `width` bits each, least significant bit first. */
function packed(values: readonly bigint[], width: number): Buffer {
  const bits = values
    .map((value) => value.toString(2).padStart(width, '0').split('').reverse().join('').slice(0, width))
    .join('');
  return Buffer.from(
    Array.from({ length: Math.ceil(bits.length / 8) }, (_, i) =>
      Number.parseInt(
        bits
          .slice(8 * i, 8 * i + 8)
          .split('')
          .reverse()
          .join('') || '0',
        2,
      ),
    ),
  );
}

/** Runs as they come: `repeat` 0 stands for a bit-packed group of eight. */
function hybrid(
  runs: readonly { values: number[]; repeat: number }[],
  width: number,
): { bytes: Buffer; values: number[] } {
  const out: Buffer[] = [];
  const values: number[] = [];
  for (const run of runs) {
    const [first] = run.values;
    if (run.repeat > 0) {
      const value = Buffer.alloc(8);
      value.writeBigUInt64LE(BigInt(first));
      out.push(varint(run.repeat * 2), value.subarray(0, Math.ceil(width / 8)));
      values.push(...Array<number>(run.repeat).fill(first));
    } else {
      out.push(varint(3), packed(run.values.map(BigInt), width));
      values.push(...run.values);
    }
  }
  return { bytes: Buffer.concat(out), values };
}

const zigzag = (value: bigint): Buffer => varint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));

function delta(values: readonly bigint[], bits: 32 | 64): Buffer {
  const out = [varint(128), varint(4), varint(values.length), zigzag(values[0] ?? 0n)];
  const deltas = values.slice(1).map((value, i) => BigInt.asIntN(bits, value - values[i]));
  for (let at = 0; at < deltas.length; at += 128) {
    const block = deltas.slice(at, at + 128);
    const [least] = [...block].sort((a, b) => (a < b ? -1 : 1));
    const minis = [0, 32, 64, 96].map((from) =>
      block.slice(from, from + 32).map((value) => BigInt.asUintN(bits, value - least)),
    );
    const widths = minis.map((mini) =>
      Math.max(0, ...mini.map((value) => (value === 0n ? 0 : value.toString(2).length))),
    );
    out.push(zigzag(least), Buffer.from(widths));
    minis.forEach((mini, i) => {
      if (mini.length > 0)
        out.push(packed([...mini, ...Array<bigint>(32 - mini.length).fill(0n)], widths[i]));
    });
  }
  return Buffer.concat(out);
}

describe('the hybrid of runs and packed bits', () => {
  it('decodes what was encoded, for every width', () => {
    const cases = fc.integer({ min: 1, max: 31 }).chain((width) => {
      const value = fc.integer({ min: 0, max: 2 ** width - 1 });
      const run = fc.record({ values: fc.array(value, { minLength: 8, maxLength: 8 }), repeat: fc.nat(40) });
      return fc.record({ width: fc.constant(width), runs: fc.array(run, { minLength: 1, maxLength: 12 }) });
    });
    fc.assert(
      fc.property(cases, ({ width, runs }) => {
        const { bytes, values } = hybrid(runs, width);
        const target = new Int32Array(values.length);
        decodeHybrid(bytes, width, target);
        expect([...target]).toEqual(values);
      }),
    );
  });

  it.each([
    ['a run of two billion', Buffer.concat([varint(2 ** 32 - 2), Buffer.of(1)]), [1, 1, 1]],
    ['packed groups of two billion', Buffer.concat([varint(2 ** 32 - 1), Buffer.of(0b10_01_11)]), [3, 1, 2]],
  ])('takes of %s only what was asked for', (_, bytes, expected) => {
    const target = new Uint8Array(3);
    decodeHybrid(bytes, 2, target);
    expect([...target]).toEqual(expected);
  });

  it.each([
    ['nothing', Buffer.alloc(0), 2],
    ['a header without its value', varint(6), 2],
    ['a packed group cut off', Buffer.concat([varint(3), Buffer.of(1)]), 8],
    ['a width of 33 bits', Buffer.of(2, 0, 0, 0, 0, 0), 33],
    ['a header without an end', Buffer.alloc(20, 0xff), 2],
    ['runs of nothing', Buffer.alloc(1000), 2],
  ])('refuses %s', (_, bytes, width) => {
    expect(() => decodeHybrid(bytes, width, new Int32Array(16))).toThrow();
  });

  it('decodes the deprecated levels, most significant bit first', () => {
    const target = new Uint8Array(5);
    expect(decodeBigEndianBits(Buffer.of(0b00_01_10_11, 0b10_000000), 2, target)).toBe(2);
    expect([...target]).toEqual([0, 1, 2, 3, 2]);
    expect(() => decodeBigEndianBits(Buffer.of(0), 2, target)).toThrow();
    expect([0, 1, 2, 3, 4, 255].map(bitWidth)).toEqual([0, 1, 2, 2, 3, 8]);
  });
});

describe('delta encodings', () => {
  it.each([32, 64] as const)('%i-bit integers of any size, wrapping around', (bits) => {
    const value = fc.oneof(
      fc.bigInt({ min: -5n, max: 5n }),
      fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 300 }), (values) => {
        expect(Array.from(decodeDeltaIntegers(delta(values, bits), values.length, bits), BigInt)).toEqual(
          values,
        );
      }),
    );
  });

  const strings = fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { minLength: 1, maxLength: 200 });
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

  it('strings behind their lengths', () => {
    fc.assert(
      fc.property(strings, (values) => {
        const bytes = values.map((value) => Buffer.from(value));
        const encoded = Buffer.concat([
          delta(
            bytes.map(({ length }) => BigInt(length)),
            32,
          ),
          ...bytes,
        ]);
        expect(decodeDeltaLengths(encoded, values.length).map(text)).toEqual(
          values.map((value) => text(Buffer.from(value))),
        );
      }),
    );
  });

  it('strings that share a prefix with the one before', () => {
    fc.assert(
      fc.property(strings, (values) => {
        const bytes = [...values].sort().map((value) => Buffer.from(value));
        const prefixes = bytes.map((value, i) => {
          let n = 0;
          while (i > 0 && n < value.length && value[n] === bytes[i - 1][n]) n++;
          return n;
        });
        const encoded = Buffer.concat([
          delta(prefixes.map(BigInt), 32),
          delta(
            bytes.map(({ length }, i) => BigInt(length - prefixes[i])),
            32,
          ),
          ...bytes.map((value, i) => value.subarray(prefixes[i])),
        ]);
        expect(decodeDeltaStrings(encoded, bytes.length, 2 ** 20).map(text)).toEqual(bytes.map(text));
      }),
    );
  });

  it('a page that describes far more than it holds is refused', () => {
    const count = 100_000;
    const lengths = Array.from({ length: count }, (_, i) => (i === 0 ? 50_000n : 0n));
    const prefixes = Array.from({ length: count }, (_, i) => (i === 0 ? 0n : 50_000n));
    const bytes = Buffer.concat([delta(prefixes, 32), delta(lengths, 32), Buffer.alloc(50_000, 'x')]);
    expect(() => decodeDeltaStrings(bytes, count, 2 ** 26)).toThrow(/more than/);
  });

  it.each([
    ['no miniblocks', Buffer.concat([varint(128), varint(0), varint(9), Buffer.alloc(20)])],
    [
      'two billion miniblocks',
      Buffer.concat([varint(2n ** 34n), varint(2 ** 31), varint(9), Buffer.alloc(20)]),
    ],
    [
      'bits of a width of 255',
      Buffer.concat([
        varint(128),
        varint(4),
        varint(9),
        Buffer.of(0, 0, 255, 255, 255, 255),
        Buffer.alloc(99),
      ]),
    ],
    ['fewer values than the page', Buffer.concat([varint(128), varint(4), varint(3), Buffer.alloc(99)])],
    ['a varint of a megabyte', Buffer.alloc(2 ** 20, 0xff)],
    ['an end too soon', Buffer.concat([varint(128), varint(4), varint(9), Buffer.of(0, 2, 3, 3)])],
  ])('refuses %s', (_, bytes) => {
    expect(() => decodeDeltaIntegers(bytes, 9, 32)).toThrow();
    expect(() => decodeDeltaIntegers(bytes, 9, 64)).toThrow();
  });
});
