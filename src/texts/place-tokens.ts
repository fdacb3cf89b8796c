/** Where in a text each token lies, in UTF-16 units: from byte offsets, or rebuilt from what the ids stand for. */

/** [tokens] each: UTF-16 units [start, end) of `text`. */
export interface PlacedTokens {
  readonly text: string;
  readonly start: Int32Array;
  readonly end: Int32Array;
}

/** The bytes that an id stands for in a text; null for a control token. */
export type TokenBytes = (id: number) => Uint8Array | null;

/**
 * UTF-16 ranges of UTF-8 byte ranges. Null where a token has no range (a negative offset), or a range does not lie
 * in the text.
 */
export function placeByBytes(
  text: string,
  byteStart: Int32Array,
  byteEnd: Int32Array,
): Omit<PlacedTokens, 'text'> | null {
  const unitAt = new Int32Array(Buffer.byteLength(text) + 1);
  let [unit, byte] = [0, 0];
  for (const character of text) {
    const bytes = Buffer.byteLength(character);
    unitAt.fill(unit, byte, byte + bytes);
    byte += bytes;
    unit += character.length;
  }
  unitAt[byte] = unit;
  const place = (offsets: Int32Array) => offsets.map((offset) => unitAt[offset] ?? -1);
  const [start, end] = [place(byteStart), place(byteEnd)];
  const isPlaced = start.every((from, i) => from >= 0 && (end[i] ?? -1) >= from);
  return isPlaced ? { start, end } : null;
}

/** The text that the ids spell; tokens that are pieces of one character share its range. */
export function spellOut(ids: Int32Array, tokenBytes: TokenBytes): PlacedTokens {
  const pieces = [...ids].map((id) => tokenBytes(id) ?? new Uint8Array());
  const bytes = Buffer.concat(pieces);
  /** Where the character of each byte begins and ends in the text. */
  const first = new Int32Array(bytes.length);
  const last = new Int32Array(bytes.length);
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    const character = length === 0 ? '\ufffd' : bytes.toString('utf8', at, at + length);
    const next = at + Math.max(length, 1);
    first.fill(text.length, at, next);
    text += character;
    last.fill(text.length, at, next);
    at = next;
  }
  const start = new Int32Array(ids.length);
  const end = new Int32Array(ids.length);
  let at = 0;
  for (const [token, piece] of pieces.entries()) {
    const empty = at === 0 ? 0 : (last[at - 1] ?? 0);
    start[token] = piece.length === 0 ? empty : (first[at] ?? 0);
    end[token] = piece.length === 0 ? empty : (last[at + piece.length - 1] ?? 0);
    at += piece.length;
  }
  return { text, start, end };
}

/** The ids as numbers with spaces between them: what is left without a tokenizer. */
export function writeIds(ids: Int32Array): PlacedTokens {
  const start = new Int32Array(ids.length);
  const end = new Int32Array(ids.length);
  let at = 0;
  for (const [token, id] of ids.entries()) {
    start[token] = at;
    end[token] = at + String(id).length;
    at = (end[token] ?? 0) + 1;
  }
  return { text: [...ids].join(' '), start, end };
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes of the character that begins here; 0 where none does. */
function characterLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  try {
    return strict.decode(bytes.subarray(at, at + length)) === '' ? 0 : length;
  } catch {
    return 0;
  }
}
