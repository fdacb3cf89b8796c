/** Changes of plain bytes: flips, numbers that parsers trip over, cuts, copies, splices. */

export const NUMBERS = [
  0n,
  1n,
  2n,
  3n,
  7n,
  8n,
  15n,
  16n,
  31n,
  32n,
  63n,
  64n,
  127n,
  128n,
  255n,
  256n,
  1023n,
  32767n,
  32768n,
  65535n,
  65536n,
  (1n << 20n) - 1n,
  1n << 24n,
  1n << 27n,
  1n << 28n,
  1n << 30n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
];

/** A number that may stand where `value` did. */
export function number(draw, value = 0n) {
  switch (draw.below(5)) {
    case 0:
      return value + BigInt(draw.below(9) - 4);
    case 1:
      return -draw.pick(NUMBERS);
    case 2:
      return value * BigInt(draw.pick([2, 3, 8, 256, 65536]));
    default:
      return draw.pick(NUMBERS);
  }
}

/** One change of the bytes. `other` is another input of the same kind, to take pieces from. */
export function changeOnce(draw, bytes, other = bytes) {
  if (bytes.length === 0) return Buffer.from([draw.below(256)]);
  const copy = Buffer.from(bytes);
  // Half of the changes hit the last tenth, where parquet and Arrow have their footers, or the first, where others begin.
  const tenth = Math.ceil(copy.length / 10);
  const at = draw.pick([
    draw.below(copy.length),
    draw.below(copy.length),
    copy.length - 1 - draw.below(tenth),
    draw.below(tenth),
  ]);
  const size = Math.min(1 + draw.small(64), copy.length - at);
  switch (draw.below(10)) {
    case 0:
    case 1:
      copy[at] ^= 1 << draw.below(8);
      return copy;
    case 2:
      copy[at] = draw.pick([0, 1, 0x7f, 0x80, 0xff, 0x20, 0x0a, 0x22, 0x5b, 0x7b]);
      return copy;
    case 3: {
      const width = draw.pick([2, 4, 8]);
      if (at + width > copy.length) return copy;
      const low = copy.subarray(at, at + width);
      const before = BigInt(`0x${Buffer.from(low).reverse().toString('hex')}`);
      const after = BigInt.asUintN(8 * width, number(draw, before))
        .toString(16)
        .padStart(2 * width, '0');
      const written = Buffer.from(after, 'hex');
      low.set(draw.chance(0.8) ? written.reverse() : written);
      return copy;
    }
    case 4:
      return draw.chance(0.5) ? copy.subarray(0, at) : copy.subarray(at);
    case 5:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + size)]);
    case 6:
      return Buffer.concat([
        copy.subarray(0, at + size),
        copy.subarray(at, at + size),
        copy.subarray(at + size),
      ]);
    case 7: {
      const from = draw.below(other.length);
      const piece = other.subarray(from, from + 1 + draw.small(256));
      return Buffer.concat([
        copy.subarray(0, at),
        piece,
        copy.subarray(draw.chance(0.5) ? at + piece.length : at),
      ]);
    }
    case 8: {
      const filled = Buffer.alloc(1 + draw.small(1024), draw.below(256));
      return Buffer.concat([copy.subarray(0, at), filled, copy.subarray(at)]);
    }
    default:
      for (let i = at; i < at + size; i++) copy[i] = draw.below(256);
      return copy;
  }
}

export function change(draw, bytes, other) {
  let changed = bytes;
  for (let i = draw.small(5); i >= 0; i--) changed = changeOnce(draw, changed, other);
  return changed;
}
