/**
 * JSON text from anywhere. JSON.parse itself is bounded by nothing: three bytes (`{},`) become an object of some
 * forty, so that a file of 200 MB takes all memory there is, and twenty thousand brackets are a value that no
 * recursive function survives. Both are counted before anything is made of the text.
 */

export interface JsonLimits {
  /** Values and keys; a vocabulary of 256k pieces with its merges has two million. */
  readonly values?: number;
  readonly depth?: number;
}

const MAX_VALUES = 1 << 22;
const MAX_DEPTH = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** @throws SyntaxError when the text is no JSON, or more than the limits allow; its message may quote the text */
export function parseJson(text: string, limits?: JsonLimits): unknown {
  checkJsonLimits(text, limits);
  return JSON.parse(text) as unknown;
}

/** @throws SyntaxError when a text may become more than the limits allow */
export function checkJsonLimits(
  text: string,
  { values = MAX_VALUES, depth = MAX_DEPTH }: JsonLimits = {},
): void {
  let marks = 0;
  let level = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at + 1);
        break;
      case COMMA:
      case COLON:
        marks++;
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        marks++;
        if (++level > depth) throw new SyntaxError(`nested deeper than ${depth}`);
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        level--;
        break;
    }
    if (marks > values) throw new SyntaxError(`more than ${values} values`);
  }
}

/** Index of the quote that ends a string; the text's length where none does. */
export function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return end;
  }
  return text.length;
}

/** Whether a parsed value is nested deeper than `depth`: what is, no recursive function may be given. */
export function isDeeper(value: unknown, depth = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  for (const inner of Array.isArray(value) ? value : Object.values(value)) {
    if (isDeeper(inner, depth - 1)) return true;
  }
  return false;
}
