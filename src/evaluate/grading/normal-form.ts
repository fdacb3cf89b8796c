/**
 * One way of writing for answers that differ in writing alone: `\dfrac12\text{ cm}` and `\frac{1}{2}`. It says nothing
 * of what an answer is worth: that is the equality's. Every rule is linear in the text.
 */
import { withoutUnits } from './units.js';

/** Longest answer that is brought into form, in UTF-16 units; what is longer stays as it is, without its spaces. */
export const MAX_ANSWER = 4096;

/** Rules may make room for one another: `{{5}}`. More rounds than this no answer needs. */
const MOST_ROUNDS = 24;

/** The normal form; of a normal form, the same again. */
export function normalForm(answer: string): string {
  if (answer.length > MAX_ANSWER) return answer.replace(/\s/g, '');
  let form = answer;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const next = RULES.reduce((text, rule) => rule(text), form);
    if (next === form) return form;
    form = next;
  }
  // Rules that chase each other have no normal form: the text without its spaces is one.
  return answer.replace(/\s/g, '');
}

type Rule = (text: string) => string;

const replace =
  (pattern: RegExp, by: string): Rule =>
  (text) =>
    text.replace(pattern, by);

const CHARACTERS: Readonly<Record<string, string>> = {
  '−': '-',
  '–': '-',
  '×': '\\times ',
  '·': '\\cdot ',
  '⋅': '\\cdot ',
  '÷': '\\div ',
  π: '\\pi ',
  θ: '\\theta ',
  '∞': '\\infty ',
  '√': '\\sqrt ',
  '±': '\\pm ',
  '≤': '\\le ',
  '≥': '\\ge ',
  '≠': '\\ne ',
  '∪': '\\cup ',
  '∩': '\\cap ',
  '∈': '\\in ',
  '²': '^{2}',
  '³': '^{3}',
  '½': '\\frac{1}{2}',
  '¼': '\\frac{1}{4}',
  '¾': '\\frac{3}{4}',
  '°': '^{\\circ}',
  '€': '',
  '£': '',
};

const fromUnicode: Rule = (text) =>
  text.replace(/[^\0-\x7f]/g, (character) => CHARACTERS[character] ?? character);

/** A doubled backslash before a name is an escape too many, but for the end of a matrix's row. */
const singleBackslashes: Rule = (text) =>
  text.includes('\\begin') ? text : text.replace(/\\\\(?=[a-zA-Z{}$%])/g, '\\');

const NUMBERS =
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty'.split(
    ' ',
  );
const TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');

const digits: Rule = (text) => {
  const [tens = '', ones, more] = text
    .trim()
    .toLowerCase()
    .split(/[\s-]+/, 3);
  const ten = TENS.indexOf(tens);
  if (more !== undefined) return text;
  if (ones === undefined) {
    const alone = NUMBERS.indexOf(tens);
    if (alone >= 0) return String(alone);
    return ten < 0 ? text : String((ten + 2) * 10);
  }
  const one = NUMBERS.indexOf(ones);
  return ten >= 0 && one > 0 && one < 10 ? String((ten + 2) * 10 + one) : text;
};

/** Text in a formula: alone it is the answer, between two answers a comma, after one a unit. */
const TEXT = String.raw`\\(?:text|textbf|textit|textrm|textnormal|mbox|mathrm|mathbf|mathit|operatorname|rm|bf)\s*\{([^{}]*)\}`;
const onlyText = new RegExp(String.raw`^\s*${TEXT}\.?\s*$`);
const lastText = /(\S)\s*\\(?:text|mbox|textrm|textnormal)\s*\{[^{}]*\}(?:\^\{?\d\}?)?\.?\s*$/;
const someText = new RegExp(TEXT, 'g');

const unwrapText: Rule = (text) => {
  const alone = onlyText.exec(text)?.[1];
  if (alone !== undefined) return alone.trim();
  const conjoined = text.replace(/\\(?:text|mbox|textrm|mathrm)\s*\{\s*(?:,?\s*(?:and|or))\s*\}/g, ',');
  const bare = conjoined.replace(lastText, '$1');
  return bare.replace(someText, (_, inner: string) => inner);
};

/** `\frac12`, `\frac1{2}`, `\frac{1}2` and `\sqrt3` with their braces. */
const braced: Rule = (text) =>
  text
    .replace(/\\frac\s*(\d|[a-zA-Z])(?=\s*[\d{\\a-zA-Z])/g, '\\frac{$1}')
    .replace(/(\\frac\{[^{}]*\})\s*(\d|[a-zA-Z])/g, '$1{$2}')
    .replace(/\\sqrt\s*(\d|[a-zA-Z])/g, '\\sqrt{$1}');

/** Braces around everything, or around one sign: `{5}`, `x^{2}`, `2_{8}`. */
const unbraced: Rule = (text) => {
  const inner = /^\{([^{}\\]*)\}$/.exec(text)?.[1] ?? text;
  return inner
    .replace(/([_^])\{([\da-zA-Z])\}(?![\da-zA-Z])/g, '$1$2')
    .replace(/(?<![a-zA-Z}\]_^])\{([\d.,]{1,64})\}/g, '$1');
};

/** `5.0`, `.5`, `5.` and `05,000`: the same number without what is not needed. */
const plainNumber: Rule = (text) => {
  const [, sign, whole, rest] = /^(-?)\+?(\d*)(?:\.(\d*?)0*)?$/.exec(text) ?? [];
  if (whole === undefined || (whole === '' && (rest ?? '') === '')) return text;
  return `${sign}${whole === '' ? '0' : whole}${rest === undefined || rest === '' ? '' : `.${rest}`}`;
};

const RULES: readonly Rule[] = [
  fromUnicode,
  singleBackslashes,
  (text) => text.replace(/[\r\n\t]+/g, ' ').trim(),
  // Dollars and percent signs, and marks around an answer that are not of it.
  replace(/\\?[$%]/g, ''),
  replace(/^\\[([]\s*|\s*\\[)\]]$|^\*\*|\*\*$|^`+|`+$/g, ''),
  replace(
    /\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|mathstrut|boldsymbol)(?![a-zA-Z])\.?/g,
    '',
  ),
  // Thin spaces, some of which part thousands.
  replace(/(?<!\\)\\[!,;: ]|~|\\q?quad(?![a-zA-Z])|\\(?:thin|med|thick)space(?![a-zA-Z])/g, ' '),
  replace(/(\d)\{,\}(?=\d{3})/g, '$1,'),
  replace(/\\begin\{(?:[bBvV]?matrix|smallmatrix|array)\}(?:\s*\{[^{}]*\})?/g, '\\begin{pmatrix}'),
  replace(/\\end\{(?:[bBvV]?matrix|smallmatrix|array)\}/g, '\\end{pmatrix}'),
  replace(/[([]\s*(\\begin\{pmatrix\}[^()[\]]*\\end\{pmatrix\})\s*[)\]]/g, '$1'),
  replace(/\\\\\s*(?=\\end\{pmatrix\})/g, ''),
  replace(/\\[dtc]frac(?![a-zA-Z])/g, '\\frac'),
  replace(/\\leq(?:slant)?(?![a-zA-Z])/g, '\\le'),
  replace(/\\geq(?:slant)?(?![a-zA-Z])/g, '\\ge'),
  replace(/\\neq(?![a-zA-Z])/g, '\\ne'),
  replace(/\\(?:lbrace|rbrace)(?![a-zA-Z])/g, ''),
  replace(/\\(?:dots|ldots|cdots|dotsc)(?![a-zA-Z])/g, '...'),
  unwrapText,
  replace(/\s*(?:\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\degree(?![a-zA-Z]))\s*[CF]?/g, ''),
  withoutUnits,
  digits,
  replace(/(\d),?\s+(?:and|or)\s+(?=[-\d\\])/g, '$1,'),
  // What the answer is called: `x =`, `f(x) =`, `x \in`.
  replace(
    /^\s*(?:[a-zA-Z](?:_\{?\w\}?)?|[a-zA-Z]\s*\(\s*[a-z]\s*\))\s*(?:=|\\in(?![a-zA-Z]))\s*(?=[^=]+$)/,
    '',
  ),
  replace(/[.:,;]\s*$/, ''),
  replace(/^\s*[:=]/, ''),
  braced,
  replace(/([_^])(\w)\s+(?=\w)/g, '$1{$2}'),
  // A name and the letter after it stay two: \pi x.
  replace(/(\\[a-zA-Z]{1,16})\s+(?=[a-zA-Z])|\s+/g, '$1\0'),
  replace(/(?<=\\[a-zA-Z]{1,16})\0(?=[a-zA-Z])/g, ' '),
  replace(/\0/g, ''),
  unbraced,
  plainNumber,
  replace(/^(-?)(\d+)\/(\d+)$/, '$1\\frac{$2}{$3}'),
];
