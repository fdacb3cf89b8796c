import type { AddedToken } from './definition.js';
import { MARK, type Recipe } from './recipe.js';
import { toNfc } from './unicode.js';

/** A stretch of a text: one added token (`id`), or text for the model (`id` null). UTF-16 units [start, end). */
export interface Stretch {
  readonly id: number | null;
  readonly start: number;
  readonly end: number;
}

/** Cuts a text into added tokens and what lies between them. Leftmost match, of these the longest. */
export type Cutter = (text: string) => Iterable<Stretch>;

/**
 * A cutter for these tokens. A token that strips takes the white space beside it along, up to the match before.
 *
 * @param contentOf the form in which a token is looked for
 */
export function makeCutter(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string): Cutter {
  if (tokens.length === 0) return (text) => (text === '' ? [] : [{ id: null, start: 0, end: text.length }]);
  const byContent = new Map(tokens.map((token) => [contentOf(token), token]));
  const alternatives = [...byContent.keys()].sort((a, b) => b.length - a.length).map(escapePattern);
  const pattern = new RegExp(alternatives.join('|'), 'gu');
  return function* cut(text) {
    let done = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0]);
      if (token === undefined) continue;
      let start = match.index;
      let end = start + match[0].length;
      if (token.lstrip) while (start > done && isSpace(text, start - 1)) start--;
      if (token.rstrip) while (end < text.length && isSpace(text, end)) end++;
      if (done < start) yield { id: null, start: done, end: start };
      yield { id: token.id, start, end };
      done = end;
    }
    if (done < text.length) yield { id: null, start: done, end: text.length };
  };
}

/** How a recipe cuts and normalizes: its tables, made once. */
export interface Cutting {
  readonly recipe: Recipe;
  /** Cuts the raw text. */
  readonly raw: Cutter;
  /** Cuts a normalized section. */
  readonly normalized: Cutter;
}

export function makeCutting(recipe: Recipe): Cutting {
  return {
    recipe,
    raw: makeCutter(recipe.rawTokens, ({ content }) => content),
    normalized: makeCutter(recipe.normalizedTokens, ({ content }) => normalize(recipe, content)),
  };
}

/** A section of the text after the recipe's normalizer. */
export function normalize(recipe: Recipe, section: string): string {
  if (section === '') return '';
  const composed = recipe.nfc ? toNfc(section) : section;
  const prepended = recipe.prepend ? MARK + composed : composed;
  return recipe.markSpaces ? prepended.replaceAll(' ', MARK) : prepended;
}

/** What goes before a piece of normalized text; `first` where the document begins with it. */
export function prefixOf(recipe: Recipe, piece: string, first: boolean): string {
  const { prefix } = recipe;
  if (prefix === null || (prefix.where === 'first' && !first) || piece.startsWith(prefix.text)) return '';
  return prefix.text;
}

/** The document as the model gets it, in order: ids of added tokens, and texts to be split into words. */
export function* piecesOf({ recipe, raw, normalized }: Cutting, text: string): Generator<number | string> {
  for (const section of raw(text)) {
    if (section.id !== null) {
      yield section.id;
      continue;
    }
    const plain = normalize(recipe, text.slice(section.start, section.end));
    for (const stretch of normalized(plain)) {
      if (stretch.id !== null) {
        yield stretch.id;
      } else {
        const piece = plain.slice(stretch.start, stretch.end);
        yield prefixOf(recipe, piece, section.start === 0 && stretch.start === 0) + piece;
      }
    }
  }
}

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

const isSpace = (text: string, index: number): boolean => /\p{White_Space}/u.test(text.charAt(index));
