import { describe, expect, it } from 'vitest';
import { BYTE_ALPHABET } from '#tokensieve/tokenizer/bytes.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { categoryClass } from '#tokensieve/tokenizer/unicode.js';
import { portablePattern } from '#tokensieve/tokenizer/words.js';
import { byteLevel, nativeFor, preparedFrom, readJson, writeFolder } from './support.js';

/** Llama 3's and Qwen 2's word patterns. */
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const split = (pattern: string) => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});
const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };

/**
 * The byte-level fixture with merges first of all that join a character's bytes to what stands beside it in the texts
 * below: where the word ends, and so of what class a code point was taken to be, shows in the ids.
 */
function telling(): { model: { vocab: Record<string, number>; merges: string[][] }; [key: string]: unknown } {
  const json = readJson(byteLevel);
  const bytesFrom = (first: number, last: number): string[] => BYTE_ALPHABET.slice(first, last + 1);
  const leads = bytesFrom(0xc2, 0xf4);
  const ends = bytesFrom(0x80, 0xbf);
  const beside = [..."aeb1x!'", BYTE_ALPHABET[0x20]!];
  const pairs = [
    ...beside.flatMap((char) => leads.map((lead) => [char, lead])),
    ...ends.flatMap((end) => [...beside, ...leads].map((char) => [end, char])),
  ];
  const had = Object.keys(json.model.vocab).length;
  let next = had;
  for (const pair of pairs) json.model.vocab[pair.join('')] ??= next++;
  for (const added of json.added_tokens) if (added.id >= had) added.id += next - had;
  json.model.merges = [...pairs, ...json.model.merges];
  return json;
}

/** Three numbers of Unicode 17 that the native library's `Digits` takes for digits, and the portable engine does not yet. */
const NOT_YET_DIGITS = [0x16ff4, 0x16ff5, 0x16ff6];

const INERT = [/\p{Lo}/u, /\p{Cn}/u, /\p{Co}/u];

/**
 * Letters without case, unassigned and private code points, of nine in ten of the first two planes: nothing but their
 * class can be seen of them, except that an unassigned one may compose in a later Unicode. -1 for all others, which
 * fold, decompose, combine or are no letters.
 */
function inertKind(point: number): number {
  const char = String.fromCodePoint(point);
  const syllable = point >= 0xac00 && point <= 0xd7a3;
  if (!syllable && char.normalize('NFKD') !== char) return -1;
  return INERT.findIndex((kind) => kind.test(char));
}

/** Shows a code point's class beside digits, letters, signs and spaces, its foldings and what it composes with. */
const fully = (char: string): string => `a${char}1${char}b '${char}x! ${char}${char} e${char}\u0334\u0301\n`;
/** Its class alone: one word with the letter, with the sign, or with neither. */
const briefly = (char: string): string => `b${char}!`;
const composing = (char: string): string => `${briefly(char)} e${char}\u0334\u0301\n`;

/**
 * All code points of the first two planes, those whose class alone can be seen in shorter contexts unless they are at
 * the edge of a range; of the other planes, where almost nothing changes, the edges of every range and a sample of
 * what lies within.
 */
function everyCodePoint(): string[] {
  const letter = (point: number): boolean => /\p{L}/u.test(String.fromCodePoint(point));
  const shown: string[] = [];
  let before = -1;
  let kind = inertKind(1);
  for (let point = 1; point < 0x20000; point++) {
    const after = inertKind(point + 1);
    if ((point < 0xd800 || point >= 0xe000) && !NOT_YET_DIGITS.includes(point)) {
      const inert = kind >= 0 && kind === before && kind === after && point % 211 !== 0;
      const show = !inert ? fully : kind === 1 ? composing : briefly;
      shown.push(show(String.fromCodePoint(point)));
    }
    [before, kind] = [kind, after];
  }
  for (let point = 0x20000; point < 0x110000; point++) {
    const is = letter(point);
    const edge = is !== letter(point - 1) || (point < 0x10ffff && is !== letter(point + 1));
    if (edge || point % 211 === 0) shown.push(fully(String.fromCodePoint(point)));
  }
  const texts: string[] = [];
  for (let start = 0; start < shown.length; start += 256)
    texts.push(shown.slice(start, start + 256).join(''));
  return texts;
}

describe('every code point is of the same class to both engines', () => {
  it.each([
    ['GPT-2 with NFC', (json: { [key: string]: unknown }) => json],
    [
      'Llama 3',
      (json: object) => ({
        ...json,
        normalizer: null,
        pre_tokenizer: { type: 'Sequence', pretokenizers: [split(LLAMA3), bytes] },
      }),
    ],
    [
      'Falcon: punctuation, and digits of what is bytes already',
      (json: object) => ({
        ...json,
        normalizer: null,
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Punctuation', behavior: 'Contiguous' },
            { ...bytes, use_regex: true },
            { type: 'Digits', individual_digits: false },
            split('[0-9][0-9][0-9]'),
          ],
        },
      }),
    ],
    [
      'SmolLM2: digits one by one',
      (json: object) => ({
        ...json,
        normalizer: null,
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Digits', individual_digits: true },
            { ...bytes, use_regex: true },
          ],
        },
      }),
    ],
    [
      'digits in runs, contractions in a group, letters by case',
      (json: object) => ({
        ...json,
        normalizer: { type: 'NFC' },
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Digits', individual_digits: false },
            split("'(?i:[sdmt]|ll|ve|re)|\\p{Lu}+\\p{Ll}*|\\p{M}+|\\p{P}+|\\p{S}"),
            bytes,
          ],
        },
      }),
    ],
  ])('%s', { timeout: 240_000 }, async (_, change) => {
    const path = writeFolder({ 'tokenizer.json': change(telling()) });
    const texts = everyCodePoint();
    const library = await (await nativeFor(await preparedFrom(path))).encode(texts);
    const portable = await openTokenizer({ path, engine: 'portable', workers: 1 });
    expect(portable.description.portableRefusal).toBeNull();
    const differing = (await portable.encode(texts)).flatMap(({ ids }, i) =>
      ids.length === library[i]!.ids.length && ids.every((id, k) => id === library[i]!.ids[k])
        ? []
        : [texts[i]!.slice(0, 40)],
    );
    await portable.close();
    expect(differing).toEqual([]);
  });

  it('and would be seen to be of another', async () => {
    const idsWith = async (letters: string, texts: readonly string[]): Promise<string[]> => {
      const pretokenizers = [split(`[${letters}]+|\\p{N}+|[^\\p{N}${letters}]+`), bytes];
      const json = { ...telling(), normalizer: null, pre_tokenizer: { type: 'Sequence', pretokenizers } };
      const path = writeFolder({ 'tokenizer.json': json });
      const tokenizer = await openTokenizer({ path, engine: 'portable', workers: 1 });
      const found = await tokenizer.encode(texts);
      await tokenizer.close();
      return found.map(({ ids }) => ids.join(' '));
    };
    const chars = Array.from({ length: 0x20000 / 17 - 8 }, (_, i) => 128 + 17 * i)
      .filter((point) => inertKind(point) >= 0)
      .map((point) => String.fromCodePoint(point));
    const texts = chars.map(briefly);
    const asIs = await idsWith('\\p{L}', texts);
    const caseless = await idsWith('\\p{Lu}\\p{Ll}\\p{Lt}\\p{Lm}', texts);
    const seen = chars.filter((_, i) => asIs[i] !== caseless[i]);
    expect(seen.length).toBeGreaterThan(3_000);
    const caselessLetter = new RegExp(`[${categoryClass('Lo')}]`, 'u');
    expect(seen).toEqual(chars.filter((char) => caselessLetter.test(char)));
  });
});

describe('word patterns', () => {
  it.each([LLAMA3, "(?:'s|'t)| ?\\p{L}+|\\s+(?!\\S)", '[^\\s]+|\\n'])('are taken: %s', (pattern) => {
    expect(() => new RegExp(portablePattern(pattern) ?? '(', 'u')).not.toThrow();
  });

  it.each([
    '\\P{L}+',
    '\\w+',
    '\\bword',
    'a++',
    '(?<name>a)',
    '(?<=a)b',
    '(?>a)',
    '[a[b]]',
    '[a&&b]',
    '[[:alpha:]]',
    '^a',
    'a$',
    '.',
    '(?i:ss)',
    '[a',
    '(a',
  ])('are left to the native engine: %s', (pattern) => {
    expect(portablePattern(pattern)).toBeNull();
  });
});
