/** The text cut so that every character stands once, and every token belongs to one piece. */
export interface Piece {
  readonly text: string;
  /** Tokens [first, end) of this piece; empty for text between tokens. */
  readonly first: number;
  readonly end: number;
}

/** Offsets in UTF-16 code units of each token, in order of the text; start = end for BOS and EOS. */
export interface TokenOffsets {
  readonly start: readonly number[];
  readonly end: readonly number[];
}

/**
 * Tokens that share a character (fragments of it, as byte-level tokenizers make of an emoji) stand in one piece: all
 * but the last of them come with an empty range. Text that no token covers is a piece without tokens. BOS and EOS are
 * empty pieces of their own, at the beginning and the end, so that their losses can be looked at.
 */
export function piecesOf(text: string, { start, end }: TokenOffsets): readonly Piece[] {
  const pieces: Piece[] = [];
  const startOf = (token: number): number => Math.min(start[token] ?? 0, text.length);
  const endOf = (token: number): number => Math.min(end[token] ?? 0, text.length);
  let at = 0;
  let token = 0;
  while (token < start.length) {
    const first = token;
    const from = Math.max(at, startOf(token));
    let to = Math.max(from, endOf(token));
    token++;
    const isBoundary = to === from && (first === 0 || from === text.length);
    while (
      !isBoundary &&
      token < start.length &&
      startOf(token) < Math.max(to, from + 1) &&
      from < text.length
    ) {
      to = Math.max(to, endOf(token));
      token++;
    }
    if (from > at) pieces.push({ text: text.slice(at, from), first, end: first });
    pieces.push({ text: text.slice(from, to), first, end: token });
    at = to;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), first: token, end: token });
  return pieces;
}

/** kept or dropped where all tokens agree; part where some are kept; none where no token is eligible. */
export type PieceState = 'kept' | 'dropped' | 'part' | 'none';

export function stateOf({ first, end }: Piece, eligible: Uint8Array, kept: Uint8Array): PieceState {
  let may = 0;
  let does = 0;
  for (let token = first; token < end; token++) {
    may += eligible[token] ?? 0;
    does += kept[token] ?? 0;
  }
  if (may === 0) return 'none';
  if (does === 0) return 'dropped';
  return does === may ? 'kept' : 'part';
}

const NAMES: Readonly<Record<string, string>> = { '\n': '⏎', '\t': '⇥', '\r': '␍', ' ': '␣' };

/** A token's text where it must be seen though it is white space: `␣the`, `⏎⏎`. */
export const visible = (text: string): string =>
  text.replace(/[\n\t\r ]/g, (character) => NAMES[character] ?? '');
