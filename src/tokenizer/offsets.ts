import { BYTE_ALPHABET, bytePiece, utf8Bytes, utf8Length } from './bytes.js';
import type { Definition } from './definition.js';
import { type Cutting, makeCutting, normalize, prefixOf } from './pieces.js';
import { MARK, type Recipe } from './recipe.js';
import type { ByteOffsets } from './tokenizer.js';
import { nfcClusters, toNfc } from './unicode.js';

/** Works out byte offsets from a text and its ids. */
export type Aligner = (text: string, ids: Int32Array) => ByteOffsets;

/**
 * Tokens do not remember where they came from, but their lengths in bytes do it as well: the tokens of a section,
 * joined, are the section after normalization, so it is enough to walk both side by side.
 *
 * Per token: from the first byte of its first character to the last byte of its last one. A "▁" that was put
 * before the text goes with the character after it, as in the native library. Where normalization form C changed
 * a run of characters, each of its tokens gets the whole run (the native library drops the marks that were
 * composed away). Every offset of a document is −1 if its tokens do not add up to its text (an unknown token).
 */
export function makeAligner(definition: Definition, recipe: Recipe): Aligner {
  const lengths = tokenLengths(definition, recipe);
  const cutting = makeCutting(recipe);
  return (text, ids) => align(cutting, lengths, text, ids);
}

/** Bytes of normalized text that each id stands for; 0 where no text gives the id. */
function tokenLengths({ model, addedTokens }: Definition, recipe: Recipe): Int32Array {
  const unkToken = model.type === 'BPE' ? model.unkToken : null;
  let size = 0;
  for (const id of model.vocab.values()) size = Math.max(size, id + 1);
  const lengths = new Int32Array(size);
  const fallback = new Set(Array.from({ length: 256 }, (_, byte) => bytePiece(byte)));
  const alphabet = new Set(BYTE_ALPHABET);
  for (const [piece, id] of model.vocab) {
    if (recipe.byteLevel) lengths[id] = [...piece].every((char) => alphabet.has(char)) ? piece.length : 0;
    else lengths[id] = fallback.has(piece) ? 1 : piece === unkToken ? 0 : utf8Bytes(piece);
  }
  for (const token of addedTokens) {
    if (token.normalized) lengths[token.id] = utf8Bytes(normalize(recipe, token.content));
  }
  return lengths;
}

function align(
  { recipe, raw, normalized }: Cutting,
  lengths: Int32Array,
  text: string,
  ids: Int32Array,
): ByteOffsets {
  const byteStart = new Int32Array(ids.length);
  const byteEnd = new Int32Array(ids.length);
  const undefinedOffsets = (): ByteOffsets => ({ byteStart: byteStart.fill(-1), byteEnd: byteEnd.fill(-1) });
  let token = 0;
  let byte = 0;
  for (const { id, start, end } of raw(text)) {
    const section = text.slice(start, end);
    if (id !== null) {
      if (ids[token] !== id) return undefinedOffsets();
      byteStart[token] = byte;
      byte += utf8Bytes(section);
      byteEnd[token++] = byte;
      continue;
    }
    const prefixes = prefixPlaces(recipe, normalized, section, start === 0);
    // The token under way: its bytes still to come, and whether it has begun.
    let wanted = 0;
    for (const char of alignedChars(recipe, section, byte, prefixes)) {
      for (let left = char.bytes; left > 0; ) {
        if (wanted === 0) {
          wanted = lengths[ids[token] ?? -1] ?? 0;
          if (wanted === 0) return undefinedOffsets();
          byteStart[token] = char.start;
        }
        const taken = Math.min(left, wanted);
        left -= taken;
        wanted -= taken;
        byteEnd[token] = Math.max(byteEnd[token] ?? 0, char.end);
        if (wanted === 0) token++;
      }
    }
    if (wanted !== 0) return undefinedOffsets();
    byte += utf8Bytes(section);
  }
  return token === ids.length ? { byteStart, byteEnd } : undefinedOffsets();
}

/** Where in a section's normalized form a prefix is put in: UTF-16 unit → bytes of the prefix. */
function prefixPlaces(
  recipe: Recipe,
  cut: Cutting['normalized'],
  section: string,
  first: boolean,
): ReadonlyMap<number, number> {
  const places = new Map<number, number>();
  if (recipe.prefix === null) return places;
  const plain = normalize(recipe, section);
  for (const { id, start, end } of cut(plain)) {
    if (id !== null) continue;
    const prefix = prefixOf(recipe, plain.slice(start, end), first && start === 0);
    if (prefix !== '') places.set(start, utf8Bytes(prefix));
  }
  return places;
}

/** A character of a normalized section: its length there, and the bytes [start, end) of the document it came from. */
interface AlignedChar {
  bytes: number;
  start: number;
  end: number;
}

const MARK_BYTES = utf8Bytes(MARK);

/** Yields one object again and again: read it before asking for the next. */
function* alignedChars(
  recipe: Recipe,
  section: string,
  from: number,
  prefixes: ReadonlyMap<number, number>,
): Generator<AlignedChar> {
  const char: AlignedChar = { bytes: 0, start: from, end: from };
  // Put in before the character that comes next, whose range it shares.
  let extra = recipe.prepend ? MARK_BYTES : 0;
  let unit = recipe.prepend ? MARK.length : 0;
  const changed = recipe.nfc && toNfc(section) !== section;
  for (const original of changed ? nfcClusters(section) : section) {
    const composed = changed ? toNfc(original) : original;
    const wholeRun = composed !== original ? utf8Bytes(original) : 0;
    if (wholeRun > 0) char.end = char.start + wholeRun;
    for (const letter of composed) {
      const point = letter.codePointAt(0) ?? 0;
      const length = utf8Length(point);
      if (wholeRun === 0) char.end = char.start + length;
      extra += prefixes.get(unit) ?? 0;
      char.bytes = extra + (recipe.markSpaces && point === 0x20 ? MARK_BYTES : length);
      extra = 0;
      unit += letter.length;
      yield char;
      if (wholeRun === 0) char.start = char.end;
    }
    char.start = char.end;
  }
}
