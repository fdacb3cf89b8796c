/** Changes of an Arrow file by its words: flatbuffers and offsets are aligned numbers of two, four and eight bytes. */
import { change, number } from './bytes.mjs';

export function changeArrow(draw, bytes, other = bytes) {
  if (draw.chance(0.25) || bytes.length < 64) return change(draw, bytes, other);
  const copy = Buffer.from(bytes);
  const footer = copy.readInt32LE(copy.length - 10);
  const sound = footer > 0 && footer < copy.length - 10;
  for (let i = draw.small(5); i >= 0; i--) {
    const width = draw.pick([1, 2, 4, 4, 4, 8, 8]);
    const [from, size] =
      sound && draw.chance(0.5) ? [copy.length - 10 - footer, footer + 4] : [0, copy.length];
    const at = from + Math.floor(draw.below(size - 8) / width) * width;
    const low = copy.subarray(at, at + width);
    const before = BigInt(`0x${Buffer.from(low).reverse().toString('hex')}`);
    const after = draw.chance(0.2) ? BigInt(copy.length - draw.below(16)) : number(draw, before);
    low.set(
      Buffer.from(
        BigInt.asUintN(8 * width, after)
          .toString(16)
          .padStart(2 * width, '0'),
        'hex',
      ).reverse(),
    );
  }
  return copy;
}
