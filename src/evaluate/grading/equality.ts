/** Whether two answers are the same, both in normal form. Symmetric; the first rule that says yes or no holds. */
import { readExpression } from './expression.js';
import { areIdentical, SAME_NUMBER } from './identity.js';
import { MAX_ANSWER, normalForm } from './normal-form.js';

/** Answers within answers: tuples of tuples. More than this nothing right has. */
const MOST_DEPTH = 8;
/** Elements of a list, a matrix or a union. */
const MOST_ELEMENTS = 256;

export function areEqual(a: string, b: string, depth = 0): boolean {
  if (a === '' || b === '' || depth > MOST_DEPTH) return false;
  if (a === b) return true;
  // No right answer is that long, and what compares the parts of answers needs not be linear.
  if (a.length > MAX_ANSWER || b.length > MAX_ANSWER) return false;
  const numbers = [plainNumber(a), plainNumber(b)] as const;
  if (numbers[0] !== null && numbers[1] !== null) return areSameNumber(numbers[0], numbers[1]);
  const letters = [choiceLetter(a), choiceLetter(b)] as const;
  if (letters[0] !== null && letters[0] === letters[1]) return true;
  if (isWord(a) && isWord(b)) return a.toLowerCase() === b.toLowerCase();
  return (
    areEqualMatrices(a, b, depth) ??
    areEqualUnions(a, b, depth) ??
    areEqualLists(a, b, depth) ??
    areEqualRelations(a, b, depth) ??
    areEqualExpressions(a, b)
  );
}

/** Digits alone, with thousands parted by commas or not. */
function plainNumber(text: string): number | null {
  if (!/^-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?$/.test(text)) return null;
  return Number(text.replaceAll(',', ''));
}

/** Also a hundred times it, and a hundredth: with a percent sign or without. */
const areSameNumber = (a: number, b: number): boolean =>
  [1, 100, 0.01].some((times) => {
    const other = b * times;
    return Math.abs(a - other) <= SAME_NUMBER * Math.max(Math.abs(a), Math.abs(other));
  });

const choiceLetter = (text: string): string | null => /^\(?([A-E])[).]?$/.exec(text)?.[1] ?? null;

const isWord = (text: string): boolean =>
  /^[a-zA-Z]{2,64}$/.test(text) && !/^(?:pi|sqrt|[xyz]{2,3})$/.test(text);

/** Every rule: null where it has nothing to say. */
type Verdict = boolean | null;

const MATRIX = /^\\begin\{pmatrix\}(.*)\\end\{pmatrix\}$/s;

function areEqualMatrices(a: string, b: string, depth: number): Verdict {
  const [one, other] = [MATRIX.exec(a)?.[1], MATRIX.exec(b)?.[1]];
  if (one === undefined || other === undefined) return null;
  const rowsOf = (inner: string): readonly (readonly string[])[] =>
    inner.split('\\\\').map((row) => row.split('&').map(normalForm));
  return everyPair(rowsOf(one), rowsOf(other), (row, like) =>
    everyPair(row, like, (entry, twin) => areEqual(entry, twin, depth + 1)),
  );
}

function areEqualUnions(a: string, b: string, depth: number): Verdict {
  if (!a.includes('\\cup') && !b.includes('\\cup')) return null;
  return areSameSet(a.split('\\cup'), b.split('\\cup'), depth);
}

/** Tuples, intervals, sets and bare lists. Brackets tell them apart; of sets and bare lists the order does not count. */
function areEqualLists(a: string, b: string, depth: number): Verdict {
  const [one, other] = [listOf(a), listOf(b)];
  if (one === null || other === null) return null;
  if (one.elements.length === 1 && other.elements.length === 1) {
    const [inner = '', twin = ''] = [one.elements[0], other.elements[0]];
    return inner === a && twin === b ? null : areEqual(inner, twin, depth + 1);
  }
  if (one.kind !== other.kind) return false;
  if (one.kind === '{}') return areSameSet(one.elements, other.elements, depth);
  return everyPair(one.elements, other.elements, (entry, twin) =>
    areEqual(normalForm(entry), normalForm(twin), depth + 1),
  );
}

/** Elements between commas that stand in no bracket of their own; brackets around all of them are the list's kind. */
function listOf(text: string): { readonly kind: string; readonly elements: readonly string[] } | null {
  const [, braced] = /^\\\{(.*)\\\}$/s.exec(text) ?? [];
  const [, open, bracketed, close] = /^([([])(.*)([)\]])$/s.exec(text) ?? [];
  const inner = braced ?? bracketed;
  const around = inner === undefined ? null : partsOf(inner);
  if (around === null) {
    const parts = partsOf(text);
    return parts === null ? null : { kind: '{}', elements: parts.flatMap(bothSigns) };
  }
  const kind = braced === undefined ? `${open}${close}` : '{}';
  // Around one element, brackets of a tuple only hold it together; a set of one is its element.
  return { kind, elements: kind === '{}' ? around.flatMap(bothSigns) : around };
}

/** Split at commas outside brackets; null where brackets do not pair, as when the outer ones are two pairs. */
function partsOf(text: string): readonly string[] | null {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at] ?? '';
    if ('([{'.includes(sign)) depth++;
    else if (')]}'.includes(sign) && --depth < 0) return null;
    else if (sign === ',' && depth === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  if (depth !== 0 || parts.length >= MOST_ELEMENTS) return null;
  return [...parts, text.slice(start)];
}

/** `1 ± √2` is two. */
const bothSigns = (text: string): readonly string[] =>
  /\\[pm]{2}(?![a-z])/.test(text)
    ? [
        text.replace(/\\pm(?![a-z])\s*/g, '+').replace(/\\mp(?![a-z])\s*/g, '-'),
        text.replace(/\\pm(?![a-z])\s*/g, '-').replace(/\\mp(?![a-z])\s*/g, '+'),
      ]
    : [text];

function areSameSet(a: readonly string[], b: readonly string[], depth: number): boolean {
  if (a.length !== b.length || a.length > MOST_ELEMENTS) return false;
  const left = b.map(normalForm);
  return a.map(normalForm).every((one) => {
    const at = left.findIndex((other) => areEqual(one, other, depth + 1));
    if (at < 0) return false;
    left.splice(at, 1);
    return true;
  });
}

const everyPair = <T>(a: readonly T[], b: readonly T[], isSame: (one: T, other: T) => boolean): boolean =>
  a.length === b.length &&
  a.length <= MOST_ELEMENTS &&
  a.every((one, index) => {
    const other = b[index];
    return other !== undefined && isSame(one, other);
  });

const RELATION = /(\\(?:le|ge|ne)(?![a-z])|[=<>])/;
const TURNED: Readonly<Record<string, string>> = { '<': '>', '>': '<', '\\le': '\\ge', '\\ge': '\\le' };

/** Equations by the difference of their sides, up to its sign; chains of relations side by side, or read from the right. */
function areEqualRelations(a: string, b: string, depth: number): Verdict {
  const [one, other] = [a.split(RELATION), b.split(RELATION)];
  if (one.length === 1 && other.length === 1) return null;
  if (one.length !== other.length) return false;
  if (one.length === 3 && one[1] === '=' && other[1] === '=') {
    const difference = ([left, , right]: readonly string[]): string => `${left}-(${right})`;
    return (
      areEqualExpressions(difference(one), difference(other)) ||
      areEqualExpressions(difference(one), `-(${difference(other)})`)
    );
  }
  const turned = other.map((part) => TURNED[part] ?? part).reverse();
  // Sides stand at even places, relations at odd ones.
  const sides = one.filter((_, index) => index % 2 === 0);
  return [other, turned].some(
    (twin) =>
      one.every((part, index) => index % 2 === 0 || part === twin[index]) &&
      everyPair(
        sides,
        twin.filter((_, index) => index % 2 === 0),
        (side, like) => areEqual(normalForm(side), normalForm(like), depth + 1),
      ),
  );
}

function areEqualExpressions(a: string, b: string): boolean {
  const one = readExpression(a);
  if (one === null) return false;
  const other = readExpression(b);
  return other !== null && areIdentical(one, other);
}
