/**
 * The values of a JSON stream one by one, as text: JSON lines, values one after another over any number of lines, or the
 * items of one list that spans the file. Only where each value begins and ends is looked at; one is held at a time.
 */
import { inputError } from '../errors.js';

/** Longest value that is held. */
export const MAX_VALUE_BYTES = 1 << 26;

export interface JsonText {
  /** Number of the value, from 0. */
  readonly number: number;
  /** Line that it begins on, from 1. */
  readonly line: number;
  readonly bytes: Uint8Array;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const NEWLINE = 0x0a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === NEWLINE || byte === 0x0d || byte === 0x09;

/**
 * Objects of a stream, top-level or in one list around them all. What is between them must be white space or commas.
 * @throws TokensieveError (input) `bad-json` for anything else, a value over the limit, or one that is cut off
 */
export async function* jsonObjects(
  source: AsyncIterable<Uint8Array>,
  path: string,
  maxBytes = MAX_VALUE_BYTES,
): AsyncGenerator<JsonText> {
  let number = 0;
  let line = 1;
  let begun = 1;
  /** Brackets open within the value; 0 between values. */
  let depth = 0;
  let list: 'none' | 'open' | 'closed' = 'none';
  let inString = false;
  let escaped = false;
  let pieces: Uint8Array[] = [];
  let held = 0;
  const refuse = (what: string) => inputError('bad-json', `${path}: line ${line}: ${what}`);
  for await (const chunk of source) {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte === NEWLINE) line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        continue;
      }
      if (depth === 0) {
        if (isSpace(byte)) continue;
        if (byte === OPEN_OBJECT && list !== 'closed') {
          depth = 1;
          from = at;
          begun = line;
        } else if (byte === OPEN_LIST && list === 'none' && number === 0) list = 'open';
        else if (byte === CLOSE_LIST && list === 'open') list = 'closed';
        else if (!(byte === COMMA && list === 'open' && number > 0)) {
          throw refuse(
            `${JSON.stringify(String.fromCharCode(byte))} where an object was expected; the file is to hold objects, one a line, one after another, or in one list`,
          );
        }
        continue;
      }
      if (byte === QUOTE) inString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) depth++;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
        depth--;
        if (depth > 0) continue;
        const last = chunk.subarray(from, at + 1);
        if (held + last.length > maxBytes) throw refuse(tooLong(held + last.length, maxBytes));
        yield { number: number++, line: begun, bytes: held === 0 ? last : Buffer.concat([...pieces, last]) };
        pieces = [];
        held = 0;
      }
    }
    if (depth > 0) {
      const rest = chunk.subarray(from);
      pieces.push(rest);
      held += rest.length;
      if (held > maxBytes) throw refuse(tooLong(held, maxBytes));
    }
  }
  if (depth > 0) throw refuse(`the file ends within the object that begins on line ${begun}: it was cut off`);
  if (list === 'open') throw refuse('the file ends within its list: it was cut off');
}

const tooLong = (bytes: number, most: number): string =>
  `an object of more than ${Math.min(bytes, most)} bytes; at most that many are taken: ask for fewer prompts a request, or write a line a sequence`;
