/** Text for a terminal out of data that others wrote. */
import { table } from '../format.js';

/** Longest name or value shown in full. */
const MAX_CELL = 72;

/**
 * A string from a file, made safe to print: control characters, which can drive a terminal, and direction
 * overrides, which can make a name look like another, are spelled out; long ones are cut.
 */
export function cell(text: string, longest = MAX_CELL): string {
  const shown = text.replace(/[\p{Cc}\p{Cs}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, escaped);
  return shown.length <= longest
    ? shown
    : `${Array.from(shown)
        .slice(0, longest - 1)
        .join('')}…`;
}

const escaped = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/** A path as it was given, whole: it is what a user copies. */
export const pathCell = (path: string): string => cell(path, 4096);

/** `label  value` lines; a fact without a value is left out. */
export const facts = (entries: readonly (readonly [string, string | null])[]): string =>
  table(
    entries
      .filter((entry): entry is readonly [string, string] => entry[1] !== null)
      .map(([label, value]) => [label, value]),
  );

/** At most `most` rows, and a line that counts the rest. */
export function firstRows(rows: readonly (readonly string[])[], most: number): (readonly string[])[] {
  if (rows.length <= most) return [...rows];
  return [...rows.slice(0, most), [`… and ${rows.length - most} more`]];
}

/** Blocks of text with an empty line between; empty blocks are left out. */
export const screen = (blocks: readonly string[]): string =>
  blocks.filter((block) => block !== '').join('\n\n');
