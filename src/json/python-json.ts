/**
 * JSON as Python's json module reads it: the grammar of RFC 8259, and NaN, Infinity and -Infinity, which json.dumps writes by default.
 * Of a key that comes twice the last counts, as in JSON.parse. Source: https://docs.python.org/3/library/json.html
 */
import { exactNumber } from './exact-number.js';
import { checkJsonLimits, endOfString, type JsonLimits, parseJson } from './parse-json.js';

/**
 * The value of a text; NaN and infinities are such numbers.
 * @throws SyntaxError as `parseJson`
 */
export function parsePythonJson(text: string, limits?: JsonLimits): unknown {
  try {
    return parseJson(text, limits);
  } catch (error) {
    if (!(error instanceof SyntaxError) || !/NaN|Infinity/.test(text)) throw error;
    return lenient(text, limits, error);
  }
}

/** The text must be what JSON.parse refused with `refusal`; without a literal of Python's it is refused so again. */
function lenient(text: string, limits: JsonLimits | undefined, refusal: SyntaxError): unknown {
  checkJsonLimits(text, limits);
  const cursor: Cursor = { text, at: 0, number: numberOf };
  try {
    const value = readValue(cursor);
    skipSpace(cursor);
    if (cursor.at === text.length) return value;
  } catch (error) {
    if (!(error instanceof NoJson)) throw error;
  }
  throw refusal;
}

/** Literals of Python's that Number() reads too. */
const numberOf = (literal: string): number => Number(literal);

/**
 * The value of a text with the numbers in it exact.
 * @throws SyntaxError as `parsePythonJson`
 */
export function parseExactJson(text: string, limits?: JsonLimits): unknown {
  parsePythonJson(text, limits);
  return readValue({ text, at: 0, number: exactNumber });
}

/**
 * Members of an object by name, with the numbers in them exact; of a key that comes twice the last.
 * @param text of an object that `parsePythonJson` takes
 */
export function exactMembers(text: string, names: readonly string[]): ReadonlyMap<string, unknown> {
  const cursor: Cursor = { text, at: 0, number: exactNumber };
  const found = new Map<string, unknown>();
  expect(cursor, '{');
  for (let more = !takes(cursor, '}'); more; more = !takes(cursor, '}')) {
    const key = readString(cursor);
    expect(cursor, ':');
    if (names.includes(key)) found.set(key, readValue(cursor));
    else cursor.at = endOfValue(text, cursor.at);
    takes(cursor, ',');
  }
  return found;
}

/** Index behind the value that begins at `start`, by its brackets and quotes alone; the text's length where it does not end. */
export function endOfValue(text: string, start = 0): number {
  let level = 0;
  for (let at = start; at < text.length; at++) {
    switch (text[at]) {
      case '"':
        at = endOfString(text, at + 1);
        if (level === 0) return Math.min(text.length, at + 1);
        break;
      case '{':
      case '[':
        level++;
        break;
      case '}':
      case ']':
        if (level === 0) return at;
        if (--level === 0) return at + 1;
        break;
      case ',':
        if (level === 0) return at;
        break;
    }
  }
  return text.length;
}

interface Cursor {
  readonly text: string;
  at: number;
  readonly number: (literal: string) => unknown;
}

/** A sign that the text is no JSON; never leaves this file. */
class NoJson extends Error {}

function readValue(cursor: Cursor): unknown {
  skipSpace(cursor);
  switch (cursor.text[cursor.at]) {
    case '{':
      return readObject(cursor);
    case '[':
      return readList(cursor);
    case '"':
      return readString(cursor);
    default:
      return readWord(cursor);
  }
}

function readObject(cursor: Cursor): unknown {
  const entries: [string, unknown][] = [];
  cursor.at++;
  if (!takes(cursor, '}')) {
    do {
      const key = readString(cursor);
      expect(cursor, ':');
      entries.push([key, readValue(cursor)]);
    } while (takes(cursor, ','));
    expect(cursor, '}');
  }
  // fromEntries defines: a key named __proto__ stays a key.
  return Object.fromEntries(entries);
}

function readList(cursor: Cursor): unknown[] {
  const items: unknown[] = [];
  cursor.at++;
  if (!takes(cursor, ']')) {
    do items.push(readValue(cursor));
    while (takes(cursor, ','));
    expect(cursor, ']');
  }
  return items;
}

function readString(cursor: Cursor): string {
  skipSpace(cursor);
  const { text, at } = cursor;
  if (text[at] !== '"') throw new NoJson();
  const end = endOfString(text, at + 1);
  cursor.at = end + 1;
  try {
    return JSON.parse(text.slice(at, end + 1)) as string;
  } catch {
    throw new NoJson();
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null|NaN|-?Infinity/y;

function readWord(cursor: Cursor): unknown {
  const word = match(cursor, WORD) ?? match(cursor, NUMBER);
  switch (word) {
    case null:
      throw new NoJson();
    case 'true':
      return true;
    case 'false':
      return false;
    case 'null':
      return null;
    default:
      return cursor.number(word);
  }
}

/** The match of a sticky expression at the cursor, which then moves behind it. */
function match(cursor: Cursor, pattern: RegExp): string | null {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0] ?? null;
  if (found !== null) cursor.at = pattern.lastIndex;
  return found;
}

function takes(cursor: Cursor, character: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at++;
  return true;
}

function expect(cursor: Cursor, character: string): void {
  if (!takes(cursor, character)) throw new NoJson();
}

function skipSpace(cursor: Cursor): void {
  const { text } = cursor;
  while (' \t\n\r'.includes(text[cursor.at] ?? '-')) cursor.at++;
}
