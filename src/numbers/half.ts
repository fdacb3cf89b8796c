/**
 * IEEE 754 half precision without `Float16Array`, which Node 20 lacks. Rounding is to nearest, ties to even,
 * as hardware and NumPy do it. Largest finite value 65504; a loss near 2 nats keeps about 3 decimal digits.
 */

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
