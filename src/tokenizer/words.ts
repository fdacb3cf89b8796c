import { categoryClass } from './unicode.js';

/** The pre-tokenizer that byte-level BPE brings along (Radford et al. 2019, GPT-2). */
export const GPT2_WORDS =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** What the patterns of published tokenizers are made of. Anything else may mean two things in two dialects. */
const TOKEN =
  /\\p\{(?<category>[LNMPSZC][a-z]?)\}|(?<fold>\(\?i:)|(?<open>\((?:\?:|\?!|\?=)?)|(?<close>\))|\\[rntsS.'"/?+*|()[\]{}^$\\-]|\{\d+(?:,\d*)?\}|[?*+](?![+])|[|[\]^-]|(?<letter>[a-z])|[^\\(){}[\]?*+|^$.&~]/guy;

/** Letters that Unicode folds onto ASCII ones, beside the other case. */
const FOLDS: Readonly<Record<string, string>> = { s: '\u017f', k: '\u212a' };

/** Letter pairs that case folding also finds as one character (ß, ﬁ), which a class cannot say. */
const LIGATURES = /ss|st|f[fil]|i\u0307|j\u030c/;

/**
 * A pattern of a Split pre-tokenizer, rewritten so that it means the same in every engine: categories as the code
 * points that Unicode 16 gives them, `(?i:…)` as classes with every folding written out.
 *
 * @returns null for a pattern that holds anything else than what published tokenizers use
 */
export function portablePattern(pattern: string): string | null {
  let out = '';
  let inClass = false;
  const folding: boolean[] = [];
  let end = 0;
  for (const match of pattern.matchAll(TOKEN)) {
    const text = match[0];
    const { category, fold, open, close, letter } = match.groups ?? {};
    const group = open === '(' && !inClass && pattern[end + 1] === '?';
    if (match.index !== end || (text === '^' && !inClass) || group) return null;
    end += text.length;
    if (text === '[') {
      if (inClass) return null;
      inClass = true;
      out += text;
    } else if (text === ']') {
      inClass = false;
      out += text;
    } else if (category !== undefined) {
      out += inClass ? categoryClass(category) : `[${categoryClass(category)}]`;
    } else if (fold !== undefined || (open !== undefined && !inClass)) {
      folding.push(fold !== undefined || folding.at(-1) === true);
      out += fold === undefined ? text : '(?:';
    } else if (close !== undefined && !inClass) {
      folding.pop();
      out += text;
    } else if (letter !== undefined && folding.at(-1) === true) {
      const all = letter + letter.toUpperCase() + (FOLDS[letter] ?? '');
      out += inClass ? all : `[${all}]`;
    } else {
      out += text;
    }
  }
  const foldsLigature = pattern.includes('(?i:') && LIGATURES.test(pattern);
  return end === pattern.length && !inClass && folding.length === 0 && !foldsLigature ? out : null;
}
