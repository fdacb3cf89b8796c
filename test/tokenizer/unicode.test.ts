import { describe, expect, it } from 'vitest';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
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
 * Code points in contexts that show their class, their foldings and what they compose with: all of the first two
 * planes; of the others, where almost nothing changes, the edges of every range and a sample of what lies within.
 */
function everyCodePoint(): string[] {
  const kind = (point: number): boolean => /\p{L}/u.test(String.fromCodePoint(point));
  const points: number[] = [];
  for (let point = 1; point < 0x110000; point++) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const edge =
      point >= 0x20000 &&
      (kind(point) !== kind(point - 1) || (point < 0x10ffff && kind(point) !== kind(point + 1)));
    if (point < 0x20000 || edge || point % 211 === 0) points.push(point);
  }
  const texts: string[] = [];
  for (let start = 0; start < points.length; start += 256) {
    const chars = points.slice(start, start + 256).map((point) => String.fromCodePoint(point));
    texts.push(
      chars.map((char) => `a${char}1${char}b '${char}x! ${char}${char} e${char}\u0334\u0301\n`).join(''),
    );
  }
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
    const path = writeFolder({ 'tokenizer.json': change(readJson(byteLevel)) });
    const texts = everyCodePoint();
    const library = await (await nativeFor(await preparedFrom(path))).encode(texts);
    const portable = await openTokenizer({ path, engine: 'portable', workers: 1 });
    expect(portable.description.portableRefusal).toBeNull();
    const differing = (await portable.encode(texts)).flatMap(({ ids }, i) =>
      ids.length === library[i]!.ids.length && ids.every((id, k) => id === library[i]!.ids[k])
        ? []
        : [texts[i]!.codePointAt(1)],
    );
    await portable.close();
    expect(differing).toEqual([]);
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
