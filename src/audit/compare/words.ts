/** Word n-grams of texts, as 64-bit hashes. Pure; nothing is allocated a word. */

/** What a word is. */
export type WordRule = 'normalised' | 'exact';

export const WORD_RULES: Readonly<Record<WordRule, string>> = {
  normalised:
    'Words are runs of letters, marks and digits after Unicode normalisation (NFKC) and lower-casing; punctuation, symbols and white space only separate them. In scripts without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) every character is a word.',
  exact: 'Words are what white space separates, with case and punctuation as they are.',
};

/** What a code point does to words. */
const SEPARATES = 0;
const IN_WORD = 1;
const OWN_WORD = 2;
const UNKNOWN = 255;

const LETTER = /^[\p{L}\p{M}\p{N}]$/u;
const UNSPACED =
  /^[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]$/u;

function kindOf(char: string, rule: WordRule): number {
  if (rule === 'exact') return /^\s$/.test(char) ? SEPARATES : IN_WORD;
  if (!LETTER.test(char)) return SEPARATES;
  return UNSPACED.test(char) ? OWN_WORD : IN_WORD;
}

/** Texts are normalised in pieces: some characters become eighteen, and a text may have 64 MiB. */
const PIECE = 1 << 16;
const LONGEST_PIECE = 1 << 20;

/**
 * The text in pieces that normalise as the whole does: cut before an ASCII white space, which neither composes with
 * what is before it nor changes its case. Where there is none in a million characters, between characters.
 */
function* piecesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    let end = Math.min(text.length, start + PIECE);
    const limit = Math.min(text.length, start + LONGEST_PIECE);
    while (end < limit && !isAsciiSpace(text.charCodeAt(end))) end++;
    if (end < text.length && text.charCodeAt(end) >> 10 === 0x37) end--; // a low surrogate belongs to what is before
    yield text.slice(start, end);
    start = end;
  }
}

const isAsciiSpace = (unit: number): boolean => unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);

export interface Ngrams {
  /** Calls `emit` with the two halves of each n-gram's hash, in order. Returns the number of words. */
  scan(text: string, emit: (low: number, high: number) => void): number;
}

/** @param n words in a run */
export function createNgrams(n: number, rule: WordRule): Ngrams {
  const kinds = new Uint8Array(0x11_0000).fill(UNKNOWN);
  // Hashes of the last n words, the oldest at `words % n`.
  const lows = new Int32Array(n);
  const highs = new Int32Array(n);

  const hashRun = (words: number, emit: (low: number, high: number) => void): void => {
    let low = 0x9747_b28c;
    let high = 0x3c6e_f372;
    for (let i = 0; i < n; i++) {
      const at = (words + i) % n;
      // MurmurHash3's steps, with other constants for the second half.
      const a = Math.imul(lows[at] as number, 0xcc9e_2d51);
      low ^= Math.imul((a << 15) | (a >>> 17), 0x1b87_3593);
      low = (Math.imul((low << 13) | (low >>> 19), 5) + 0xe654_6b64) | 0;
      const b = Math.imul(highs[at] as number, 0x38b3_4ae5);
      high ^= Math.imul((b << 16) | (b >>> 16), 0xa1e3_8b93);
      high = (Math.imul((high << 17) | (high >>> 15), 0x85eb_ca6b) + 0x561c_cd1b) | 0;
    }
    emit(finish(low), finish(high));
  };

  return {
    scan(text, emit) {
      let words = 0;
      let low = 0;
      let high = 0;
      let open = false;
      const begin = () => {
        low = 0x811c_9dc5;
        high = 0x2545_f491;
        open = true;
      };
      const take = (code: number) => {
        low = Math.imul(low ^ code, 0x0100_0193);
        high = Math.imul(high ^ code, 0x5bd1_e995);
        high ^= high >>> 15;
      };
      const end = () => {
        open = false;
        lows[words % n] = finish(low);
        highs[words % n] = finish(high);
        words++;
        if (words >= n) hashRun(words, emit);
      };
      const pieces = rule === 'exact' ? [text] : piecesOf(text);
      for (const piece of pieces) {
        const plain = rule === 'exact' ? piece : piece.normalize('NFKC').toLowerCase();
        for (let i = 0; i < plain.length; i++) {
          const code = plain.codePointAt(i) as number;
          if (code > 0xffff) i++;
          let kind = kinds[code] as number;
          if (kind === UNKNOWN) {
            kind = kindOf(String.fromCodePoint(code), rule);
            kinds[code] = kind;
          }
          if (kind === IN_WORD) {
            if (!open) begin();
            take(code);
            continue;
          }
          if (open) end();
          if (kind === OWN_WORD) {
            begin();
            take(code);
            end();
          }
        }
      }
      if (open) end();
      return words;
    },
  };
}

/** MurmurHash3's finaliser: every bit of the result depends on every bit of `hash`. */
function finish(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
