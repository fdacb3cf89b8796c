/**
 * The RLE / bit-packed hybrid of levels and dictionary indices, and the deprecated bit-packed levels, into typed
 * arrays that the caller sized. Never writes or reads beyond what it was given: hyparquet's decoder grows its
 * output by whatever run length the bytes claim.
 * Source: https://github.com/apache/parquet-format/blob/master/Encodings.md
 */

type Target = Uint8Array | Int32Array;

/** Fills `target` from `bytes`, whole runs of `width` bits a value. @throws Error when the bytes are not that. */
export function decodeHybrid(bytes: Uint8Array, width: number, target: Target): void {
  if (width > 32) throw new Error(`bit width ${width}, at most 32`);
  let at = 0;
  let filled = 0;
  while (filled < target.length) {
    let header = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || unit > 2 ** 28)
        throw new Error(`runs end after ${filled} of ${target.length} values`);
      header += (byte & 0x7f) * unit;
      if (byte < 0x80) break;
    }
    const length = Math.floor(header / 2);
    if (header % 2 === 1) {
      // Groups of eight values; the last group may be padded beyond the values, and cut short by some writers.
      const values = Math.min(length * 8, target.length - filled);
      if (Math.ceil((values * width) / 8) > bytes.length - at) throw new Error('bit-packed run is cut off');
      unpack(bytes, at, width, target, filled, values);
      filled += values;
      at += length * width;
    } else {
      if (length === 0) continue;
      const size = (width + 7) >> 3;
      if (size > bytes.length - at) throw new Error('run is cut off');
      let value = 0;
      for (let i = 0; i < size; i++) value |= (bytes[at++] ?? 0) << (8 * i);
      const end = Math.min(filled + length, target.length);
      target.fill(value, filled, end);
      filled = end;
    }
  }
}

/** `count` little-endian values of `width` bits; the caller has checked that the bytes are there. */
function unpack(
  bytes: Uint8Array,
  from: number,
  width: number,
  target: Target,
  to: number,
  count: number,
): void {
  if (width === 8) {
    for (let i = 0; i < count; i++) target[to + i] = bytes[from + i] ?? 0;
    return;
  }
  let at = from;
  // Below 25 bits, those held and eight new ones fit in 32: shifts will do.
  if (width <= 24) {
    const mask = 2 ** width - 1;
    let held = 0;
    let bits = 0;
    for (let i = 0; i < count; i++) {
      for (; bits < width; bits += 8) held |= (bytes[at++] ?? 0) << bits;
      target[to + i] = held & mask;
      held >>>= width;
      bits -= width;
    }
    return;
  }
  let held = 0;
  let bits = 0;
  for (let i = 0; i < count; i++) {
    for (; bits < width; bits += 8) held += (bytes[at++] ?? 0) * 2 ** bits;
    target[to + i] = held % 2 ** width;
    held = Math.floor(held / 2 ** width);
    bits -= width;
  }
}

/** The deprecated BIT_PACKED levels: big-endian bits, no header. @returns bytes used. */
export function decodeBigEndianBits(bytes: Uint8Array, width: number, target: Uint8Array): number {
  const used = Math.ceil((target.length * width) / 8);
  if (used > bytes.length) throw new Error('bit-packed levels are cut off');
  for (let i = 0, bit = 0; i < target.length; i++) {
    let value = 0;
    for (let k = 0; k < width; k++, bit++)
      value = (value << 1) | (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    target[i] = value;
  }
  return used;
}

/** Bits needed for values 0 to `max`. */
export const bitWidth = (max: number): number => 32 - Math.clz32(max);
