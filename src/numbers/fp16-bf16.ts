/**
 * Floats of 16 bits, fp16 and bf16, to and from float32. Rounding is to nearest, ties to even, as hardware and NumPy do it.
 *
 * fp16 is IEEE 754 half precision, without `Float16Array`, which Node 20 lacks: largest finite value 65504; a loss near 2
 * nats keeps about 3 decimal digits. bf16 is the upper half of a float32: its range, and 2 to 3 decimal digits.
 */

import { fatalError } from '../errors.js';

/** Types that a model's body may compute in. */
export type FloatType = 'float32' | 'float16' | 'bfloat16';

const HALF_NAN = 0x7e00;

/** Bits of a half from the bits of a float; −1 where the value is beyond ±65504 after rounding. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return HALF_NAN;
  if (magnitude >= 0x477ff000) return -1; // 65520 and more round to infinity
  // Normal halves: move the exponent's bias from 127 to 15 and round away 13 bits of mantissa.
  if (magnitude >= 0x38800000)
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  if (magnitude <= 0x33000000) return sign; // at most 2^-25, half of the smallest subnormal: ties to zero
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23); // to units of 2^-24
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (kept + (rest > tie || (rest === tie && (kept & 1) === 1) ? 1 : 0));
}

/**
 * Rounds [n] floats to halves into `target` [n]. Every NaN becomes the one quiet NaN 0x7e00.
 * Returns the index of the first value that no half can hold (beyond ±65504), or −1.
 */
export function toHalf(values: Float32Array, target: Uint16Array): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const half = halfBits(bits[i] as number);
    if (half < 0) return i;
    target[i] = half;
  }
  return -1;
}

function halfValue(half: number): number {
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 0x1f) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (mantissa + 1024) * 2 ** (exponent - 25));
}

/** All 65,536 halves as floats (256 KiB): one load a value. Made at the first use. */
let table: Float32Array | undefined;

/** The exact float of each of [n] halves. */
export function fromHalf(halves: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, half) => halfValue(half));
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = table[halves[i] as number] as number;
  return values;
}

/** Rounds [n] floats to bf16 into `target` [n]: the upper half of their bits, rounded; every NaN becomes 0x7fc0. */
export function toBfloat16(values: Float32Array, target: Uint16Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i] as number;
    target[i] = (value & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
}

/** Puts the exact float of each of [n] bf16 into `target` [n]. */
export function fromBfloat16(halves: Uint16Array, target: Float32Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
}

/**
 * Little-endian bytes of [n] floats as a tensor of `type` holds them.
 * @throws TokensieveError `beyond-half` (fatal)
 */
export function floatBytes(values: Float32Array, type: FloatType): Uint8Array {
  if (type === 'float32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const rounded = new Uint16Array(values.length);
  if (type === 'bfloat16') toBfloat16(values, rounded);
  else {
    const beyond = toHalf(values, rounded);
    if (beyond >= 0) {
      throw fatalError(
        'beyond-half',
        `the constant ${values[beyond]} is beyond what float16 holds; report this`,
      );
    }
  }
  return new Uint8Array(rounded.buffer);
}
