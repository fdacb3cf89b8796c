/**
 * What Python's `repr` writes for dicts, lists, tuples, sets, strings, bytes, numbers, booleans and None, read in
 * linear time. Source: https://docs.python.org/3/reference/lexical_analysis.html#literals
 */

const MAX_DEPTH = 64;

interface Cursor {
  readonly text: string;
  at: number;
}

/** A sign that the text is no literal; never leaves this file. */
class NoLiteral extends Error {}

/**
 * The literal as plain JSON: tuples and sets are arrays, bytes are strings of their code units, integers beyond
 * ±(2^53 − 1) are decimal strings, NaN and infinities the strings "NaN", "Infinity", "-Infinity".
 * @returns undefined when the text is no such literal, or nested more than 64 deep.
 */
export function parsePythonLiteral(text: string): unknown {
  const cursor = { text, at: 0 };
  try {
    const value = readValue(cursor, 0);
    skipSpace(cursor);
    return cursor.at === text.length ? value : undefined;
  } catch (error) {
    if (error instanceof NoLiteral) return undefined;
    throw error;
  }
}

function readValue(cursor: Cursor, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new NoLiteral();
  skipSpace(cursor);
  switch (cursor.text[cursor.at]) {
    case '{':
      return readBraces(cursor, depth);
    case '[':
      return readItems(cursor, ']', depth);
    case '(':
      return readItems(cursor, ')', depth);
    default:
      return readString(cursor) ?? readWord(cursor);
  }
}

function readItems(cursor: Cursor, close: string, depth: number): unknown[] {
  cursor.at++;
  const items: unknown[] = [];
  while (!takes(cursor, close)) {
    items.push(readValue(cursor, depth + 1));
    if (!takes(cursor, ',')) {
      expect(cursor, close);
      break;
    }
  }
  return items;
}

/** A dict, or a set, which has no colons. */
function readBraces(cursor: Cursor, depth: number): unknown {
  cursor.at++;
  const entries: [string, unknown][] = [];
  const items: unknown[] = [];
  while (!takes(cursor, '}')) {
    const key = readValue(cursor, depth + 1);
    if (takes(cursor, ':')) entries.push([keyOf(key), readValue(cursor, depth + 1)]);
    else items.push(key);
    if (!takes(cursor, ',')) {
      expect(cursor, '}');
      break;
    }
  }
  if (entries.length > 0 && items.length > 0) throw new NoLiteral();
  // fromEntries defines: a key named __proto__ stays a key.
  return items.length > 0 ? items : Object.fromEntries(entries);
}

function keyOf(key: unknown): string {
  if (typeof key === 'object' && key !== null) throw new NoLiteral();
  return String(key);
}

function takes(cursor: Cursor, character: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at++;
  return true;
}

function expect(cursor: Cursor, character: string): void {
  if (!takes(cursor, character)) throw new NoLiteral();
}

/** The match of a sticky expression at the cursor, which then moves behind it. */
function match(cursor: Cursor, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text);
  if (found) cursor.at = pattern.lastIndex;
  return found;
}

function skipSpace(cursor: Cursor): void {
  match(cursor, /\s*/y);
}

const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...(['None', 'null'] as const).map((word) => [word, null] as const),
  ...(['True', 'true'] as const).map((word) => [word, true] as const),
  ...(['False', 'false'] as const).map((word) => [word, false] as const),
  ...(['nan', 'NaN'] as const).map((word) => [word, 'NaN'] as const),
  ...(['inf', 'Infinity'] as const).map((word) => [word, 'Infinity'] as const),
  ...(['-inf', '-Infinity'] as const).map((word) => [word, '-Infinity'] as const),
  ['set()', []],
]);

function readWord(cursor: Cursor): unknown {
  const number = match(cursor, /[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])/y)?.[0];
  if (number !== undefined) {
    const value = Number(number);
    if (/^[+-]?\d+$/.test(number) && !Number.isSafeInteger(value)) return number.replace('+', '');
    return Number.isFinite(value) ? value : String(value);
  }
  const word = match(cursor, /-?[A-Za-z]+(?:\(\))?/y)?.[0];
  if (word === undefined || !WORDS.has(word)) throw new NoLiteral();
  return WORDS.get(word);
}

function readString(cursor: Cursor): string | null {
  const { text } = cursor;
  const start = 'bBuU'.includes(text[cursor.at] ?? ' ') ? cursor.at + 1 : cursor.at;
  const quote = text[start];
  if (quote !== "'" && quote !== '"') return null;
  let end = start + 1;
  while (text[end] !== quote) {
    if (end >= text.length || text[end] === '\n') throw new NoLiteral();
    end += text[end] === '\\' ? 2 : 1;
  }
  cursor.at = end + 1;
  return withoutEscapes(text.slice(start + 1, end));
}

const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g;

const SIMPLE: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function withoutEscapes(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(
    ESCAPE,
    (whole, x?: string, u?: string, wide?: string, octal?: string, simple?: string) => {
      const code = x ?? u ?? wide;
      if (code !== undefined) return character(Number.parseInt(code, 16));
      if (octal !== undefined) return character(Number.parseInt(octal, 8));
      // Python keeps the backslash of an escape that it does not know; \x, \u and \U must be whole.
      if (simple === undefined || 'xuU'.includes(simple)) throw new NoLiteral();
      return SIMPLE[simple] ?? whole;
    },
  );
}

function character(code: number): string {
  if (code > 0x10ffff) throw new NoLiteral();
  return String.fromCodePoint(code);
}
