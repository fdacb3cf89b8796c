import { utf8Length } from '../../tokenizer/bytes.js';
import type { ByteOffsets } from '../../tokenizer/tokenizer.js';

/** UTF-16 ranges [start, end) of tokens in their text, [tokens] each. */
export interface UnitRanges {
  readonly start: Int32Array;
  readonly end: Int32Array;
}

/**
 * Byte ranges as UTF-16 ranges that can be sliced one after the other: they are in order and never overlap. Byte
 * ranges do overlap where several tokens hold bytes of one character, and where a mark was put before a word as a
 * token of its own. Such a character belongs to the last of its tokens; the earlier ones end before it, and are empty
 * where they hold nothing else. A token without a byte range is empty, where the one before it ends.
 */
export function unitRanges(text: string, { byteStart, byteEnd }: ByteOffsets): UnitRanges {
  const unitAt = unitsOfBytes(text);
  const tokens = byteStart.length;
  const start = new Int32Array(tokens);
  const end = new Int32Array(tokens);
  let limit = text.length;
  for (let i = tokens - 1; i >= 0; i--) {
    const from = byteStart[i] ?? -1;
    const to = byteEnd[i] ?? -1;
    if (from < 0 || to < 0) {
      start[i] = -1;
      continue;
    }
    end[i] = Math.min(unitAt(to), limit);
    start[i] = Math.min(unitAt(from), end[i] ?? 0);
    limit = start[i] ?? 0;
  }
  let last = 0;
  for (let i = 0; i < tokens; i++) {
    if (start[i] === -1) {
      start[i] = last;
      end[i] = last;
    }
    last = end[i] ?? last;
  }
  return { start, end };
}

/** UTF-16 unit at which the character of a byte begins; for the text's end, its length. */
function unitsOfBytes(text: string): (byte: number) => number {
  const bytes = Buffer.byteLength(text);
  if (bytes === text.length) return (byte) => byte;
  const units = new Int32Array(bytes + 1);
  let byte = 0;
  let unit = 0;
  for (const char of text) {
    const length = utf8Length(char.codePointAt(0) ?? 0);
    units.fill(unit, byte, byte + length);
    byte += length;
    unit += char.length;
  }
  units[bytes] = text.length;
  return (at) => units[at] ?? text.length;
}
