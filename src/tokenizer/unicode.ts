import { INERT_IN_NFC, UNASSIGNED_IN_16 } from './unicode-16.js';

/**
 * The native library fixes its Unicode tables when it is built; a regular expression here knows the Unicode of the
 * Node it runs in. A letter that came in between splits words differently in the two. These functions say what the
 * native library says, whatever Node they run in.
 */

/** [from, to] pairs, both included, in order. */
type Ranges = readonly (readonly [number, number])[];

function decode(text: string): Ranges {
  let end = 0;
  return text
    .trim()
    .split(/\s+/)
    .map((part) => {
      const [gap = '', length = '1'] = part.split('.');
      const from = end + Number.parseInt(gap, 36);
      end = from + Number.parseInt(length, 36);
      return [from, end - 1] as const;
    });
}

const classBody = (ranges: Ranges): string =>
  ranges
    .map(([from, to]) =>
      from === to ? `\\u{${from.toString(16)}}` : `\\u{${from.toString(16)}}-\\u{${to.toString(16)}}`,
    )
    .join('');

const fixedProperties = new Map<string, string>();

/**
 * The inside of a character class with the code points of a general category in Unicode 16: Node's own, less what
 * was unassigned then. (Of the code points assigned in both, only U+0295 changed, between `Ll` and `Lo`.)
 *
 * @param category `L`, `Nd`, ...
 */
export function categoryClass(category: string): string {
  const known = fixedProperties.get(category);
  if (known !== undefined) return known;
  const property = new RegExp(`\\p{${category}}`, 'u');
  const ranges: [number, number][] = [];
  let next = 0;
  const scan = (from: number, to: number): void => {
    for (let point = from; point <= to; point++) {
      if ((point >= 0xd800 && point <= 0xdfff) || !property.test(String.fromCodePoint(point))) continue;
      const last = ranges.at(-1);
      if (last?.[1] === point - 1) last[1] = point;
      else ranges.push([point, point]);
    }
  };
  for (const [from, to] of decode(UNASSIGNED_IN_16)) {
    scan(next, from - 1);
    next = to + 1;
  }
  scan(next, 0x10ffff);
  const body = classBody(ranges);
  fixedProperties.set(category, body);
  return body;
}

/**
 * Digits by the Rust standard library, whose tables are one version newer: Unicode 17's ten Tolong Siki digits
 * count. The inside of a character class.
 */
export const digitClass = (): string => `${categoryClass('N')}\\u{11de0}-\\u{11de9}`;

/** Of today's punctuation, what the native library's `Punctuation` does not know (its crate knows Unicode 8); found by trying each. */
const NO_PUNCTUATION_IN_8 =
  '61d 9fd a76 c77 c84 1b4e-1b4f 1b7d-1b7f 2e43-2e4f 2e52-2e5d 10d6e 10ead 10ed0 10f55-10f59 10f86-10f89 113d4-113d5 113d7-113d8 1144b-1144f 1145a-1145b 1145d 11660-1166c 116b9 1183b 11944-11946 119e2 11a3f-11a46 11a9a-11a9c 11a9e-11aa2 11b00-11b09 11be1 11c41-11c45 11c70-11c71 11ef7-11ef8 11f43-11f4f 11fff 12ff1-12ff2 16d6d-16d6f 16e97-16e9a 16fe2 1e5ff 1e95e-1e95f';

/** A group that matches one character of punctuation as the native library's `Punctuation` has it: ASCII's, symbols included, and Unicode 8's. */
export function punctuationPattern(): string {
  const later = NO_PUNCTUATION_IN_8.split(' ').map((range) => {
    const [from = '', to = from] = range.split('-');
    return [Number.parseInt(from, 16), Number.parseInt(to, 16)] as const;
  });
  // U+166D and U+111C9 have become symbols since.
  return `(?:(?![${classBody(later)}])[!-/:-@\\[-\`{-~${categoryClass('P')}\\u166d\\u{111c9}])`;
}

const inert = new RegExp(`([${classBody([...decode(INERT_IN_NFC), ...decode(UNASSIGNED_IN_16)])}]+)`, 'u');

/**
 * Normalization form C by the native library's tables, which take marks that came after them for plain characters:
 * the text is normalized between these, and they stay where they are.
 */
export function toNfc(text: string): string {
  const composed = text.normalize('NFC');
  if (composed === text) return text;
  return text
    .split(inert)
    .map((run, index) => (index % 2 === 0 ? run.normalize('NFC') : run))
    .join('');
}

/** A character and what may combine with it: marks, and the vowels and finals of Hangul. */
const cluster = /[\s\S][\p{M}\u1160-\u11ff]*/gu;

/** A text's parts such that NFC of the whole is NFC of the parts, joined. */
export const nfcClusters = (text: string): Iterable<string> => text.match(cluster) ?? [];
