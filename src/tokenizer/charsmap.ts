/**
 * The table of a `Precompiled` normalizer, SentencePiece's: a double-array trie (darts-clone) over UTF-8, whose values are
 * places in a text of replacements that end with a NUL. The native library reads it without looking at bounds and ends the
 * process where they do not hold, so they are looked at here.
 */

const WORD = 4;

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
const labelOf = (unit: number): number => (unit & (0x8000_0000 | 0xff)) >>> 0;
const hasLeaf = (unit: number): boolean => ((unit >>> 8) & 1) === 1;
const placeIn = (unit: number): number => unit & 0x7fff_ffff;

/**
 * Why the table cannot be walked safely with every text; null where it can. Time and memory are in proportion to its size.
 * @param charsmap `precompiled_charsmap` of tokenizer.json: base64
 */
export function whyBrokenCharsmap(charsmap: unknown): string | null {
  if (typeof charsmap !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(charsmap) || charsmap.length % 4 !== 0)
    return 'is not base64';
  const bytes = Buffer.from(charsmap, 'base64');
  if (bytes.length < WORD) return 'is too short for a table';
  const count = Math.floor(bytes.readUInt32LE(0) / WORD);
  const end = WORD * (1 + count);
  if (count === 0) return 'has an empty table';
  if (end > bytes.length) return `says that its table has ${count} entries; it ends before`;
  const texts = bytes.subarray(end);
  if (!isUtf8(texts)) return 'has replacements that are not UTF-8';
  const unitAt = (index: number): number => bytes.readUInt32LE(WORD * (1 + index));
  return brokenWalk(count, unitAt, (place) => isBoundary(texts, place));
}

/** Follows every step that some text could take. */
function brokenWalk(
  count: number,
  unitAt: (index: number) => number,
  isPlace: (value: number) => boolean,
): string | null {
  const outside = 'leads out of its table';
  const seen = new Set<number>();
  const pending = [offsetOf(unitAt(0)) >>> 0];
  for (let base = pending.pop(); base !== undefined; base = pending.pop()) {
    if (seen.has(base)) continue;
    seen.add(base);
    for (let byte = 1; byte < 256; byte++) {
      const at = (base ^ byte) >>> 0;
      if (at >= count) return outside;
      const unit = unitAt(at);
      if (labelOf(unit) !== byte) continue;
      const next = (at ^ offsetOf(unit)) >>> 0;
      if (hasLeaf(unit)) {
        if (next >= count) return outside;
        if (!isPlace(placeIn(unitAt(next)))) return 'names a replacement that is not there';
      }
      pending.push(next);
    }
  }
  return null;
}

/**
 * What may be left of a text after the table: without the characters that begin an entry replaced by nothing.
 * @param charsmap one that `whyBrokenCharsmap` lets through
 */
export function vanishingIn(charsmap: unknown): (text: string) => string {
  const bytes = Buffer.from(String(charsmap), 'base64');
  const unitAt = (index: number): number => bytes.readUInt32LE(WORD * (1 + index));
  const texts = bytes.subarray(WORD + bytes.readUInt32LE(0));
  const begins = (text: Uint8Array): boolean => {
    let at = offsetOf(unitAt(0)) >>> 0;
    for (const byte of text) {
      at = (at ^ byte) >>> 0;
      const unit = unitAt(at);
      if (labelOf(unit) !== byte) return false;
      at = (at ^ offsetOf(unit)) >>> 0;
      if (hasLeaf(unit) && (texts[placeIn(unitAt(at))] ?? 0) === 0) return true;
    }
    return false;
  };
  return (text) => {
    const chars = [...text];
    return chars.filter((_, i) => !begins(Buffer.from(chars.slice(i, i + 8).join('')))).join('');
  };
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Whether a text of these bytes may be cut there. */
const isBoundary = (bytes: Uint8Array, place: number): boolean =>
  place <= bytes.length && ((bytes[place] ?? 0) & 0xc0) !== 0x80;
