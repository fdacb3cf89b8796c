/**
 * The three delta encodings, bounded: counts are checked against what the caller expects, every read against the
 * page, and DELTA_BYTE_ARRAY's prefixes, with which a page of a megabyte can describe a terabyte, against a limit.
 * Source: https://github.com/apache/parquet-format/blob/master/Encodings.md
 */

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/** `count` integers, wrapped to 32 or 64 bits as the encoding asks. */
export function decodeDeltaIntegers(
  bytes: Uint8Array,
  count: number,
  bits: 32 | 64,
): Int32Array | BigInt64Array {
  const cursor = { bytes, at: 0 };
  return bits === 32 ? integers32(cursor, count) : integers64(cursor, count);
}

/** Lengths, then the bytes of all values. */
export function decodeDeltaLengths(bytes: Uint8Array, count: number): Uint8Array[] {
  const cursor = { bytes, at: 0 };
  return slices(cursor, integers32(cursor, count));
}

/** Lengths of the prefix shared with the value before, then the suffixes. @param limit bytes of all values together. */
export function decodeDeltaStrings(bytes: Uint8Array, count: number, limit: number): Uint8Array[] {
  const cursor = { bytes, at: 0 };
  const prefixes = integers32(cursor, count);
  const suffixes = slices(cursor, integers32(cursor, count));
  let total = 0;
  let before = new Uint8Array(0);
  return suffixes.map((suffix, i) => {
    const prefix = prefixes[i] ?? 0;
    if (prefix < 0 || prefix > before.length)
      throw new Error(`prefix of ${prefix} bytes of a value of ${before.length}`);
    total += prefix + suffix.length;
    if (total > limit) throw new Error(`values of more than ${limit} bytes`);
    const value = new Uint8Array(prefix + suffix.length);
    value.set(before.subarray(0, prefix));
    value.set(suffix, prefix);
    before = value;
    return value;
  });
}

function slices(cursor: Cursor, lengths: Int32Array): Uint8Array[] {
  return Array.from(lengths, (length) => {
    if (length < 0 || length > cursor.bytes.length - cursor.at)
      throw new Error(`value of ${length} bytes runs past the page`);
    cursor.at += length;
    return cursor.bytes.subarray(cursor.at - length, cursor.at);
  });
}

interface Header {
  /** Values a miniblock, a multiple of 8. */
  readonly perMiniblock: number;
  readonly miniblocks: number;
}

function header(cursor: Cursor, count: number): Header {
  const blockSize = Number(varint(cursor));
  const miniblocks = Number(varint(cursor));
  const total = Number(varint(cursor));
  if (total < count) throw new Error(`delta block of ${total} values, expected ${count}`);
  const perMiniblock = blockSize / miniblocks;
  if (
    !(
      miniblocks > 0 &&
      miniblocks <= 4096 &&
      perMiniblock >= 8 &&
      perMiniblock <= 2 ** 20 &&
      perMiniblock % 8 === 0
    )
  ) {
    throw new Error(`delta block of ${blockSize} values in ${miniblocks} miniblocks`);
  }
  return { perMiniblock, miniblocks };
}

function integers32(cursor: Cursor, count: number): Int32Array {
  const output = new Int32Array(count);
  const { perMiniblock, miniblocks } = header(cursor, count);
  let value = Number(BigInt.asIntN(32, zigzag(cursor)));
  if (count > 0) output[0] = value;
  for (let filled = 1; filled < count; ) {
    const least = Number(BigInt.asIntN(32, zigzag(cursor)));
    const widths = take(cursor, miniblocks);
    for (let m = 0; m < miniblocks && filled < count; m++) {
      const width = widths[m] ?? 0;
      const packed = miniblock(cursor, width, perMiniblock);
      const end = Math.min(filled + perMiniblock, count);
      for (let bit = 0; filled < end; bit += width) {
        // Bits above 32 vanish modulo 2^32.
        value = (value + least + bitsAt(packed, bit, Math.min(width, 32))) | 0;
        output[filled++] = value;
      }
    }
  }
  return output;
}

function integers64(cursor: Cursor, count: number): BigInt64Array {
  const output = new BigInt64Array(count);
  const { perMiniblock, miniblocks } = header(cursor, count);
  let value = zigzag(cursor);
  if (count > 0) output[0] = value;
  for (let filled = 1; filled < count; ) {
    const least = zigzag(cursor);
    const widths = take(cursor, miniblocks);
    for (let m = 0; m < miniblocks && filled < count; m++) {
      const width = widths[m] ?? 0;
      const packed = miniblock(cursor, width, perMiniblock);
      const end = Math.min(filled + perMiniblock, count);
      for (let bit = 0; filled < end; bit += width) {
        const low = BigInt(bitsAt(packed, bit, Math.min(width, 32)) >>> 0);
        const high = width > 32 ? BigInt(bitsAt(packed, bit + 32, width - 32) >>> 0) << 32n : 0n;
        value = BigInt.asIntN(64, value + least + (high | low));
        output[filled++] = value;
      }
    }
  }
  return output;
}

/** The bytes of one miniblock; the last may be cut short by its writer. */
function miniblock(cursor: Cursor, width: number, values: number): Uint8Array {
  if (width > 64) throw new Error(`delta bit width ${width}, at most 64`);
  return take(cursor, Math.min((width * values) / 8, cursor.bytes.length - cursor.at));
}

/** `width` (at most 32) bits from bit `bit` on, little-endian, as an int32. */
function bitsAt(bytes: Uint8Array, bit: number, width: number): number {
  let value = 0;
  for (let got = 0; got < width; ) {
    const byte = bytes[(bit + got) >> 3];
    if (byte === undefined) throw new Error('delta miniblock is cut off');
    const skip = (bit + got) & 7;
    const bits = Math.min(8 - skip, width - got);
    value |= ((byte >> skip) & ((1 << bits) - 1)) << got;
    got += bits;
  }
  return value;
}

function take(cursor: Cursor, length: number): Uint8Array {
  if (length > cursor.bytes.length - cursor.at) throw new Error('delta block is cut off');
  cursor.at += length;
  return cursor.bytes.subarray(cursor.at - length, cursor.at);
}

function varint(cursor: Cursor): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) throw new Error('delta block is cut off');
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw new Error('varint of more than ten bytes');
}

function zigzag(cursor: Cursor): bigint {
  const value = varint(cursor);
  return (value >> 1n) ^ -(value & 1n);
}
