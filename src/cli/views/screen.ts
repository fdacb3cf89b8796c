/** Text for a terminal out of data that others wrote. */
import { printable, table } from '../format.js';

/** Longest name or value shown in full. */
const MAX_CELL = 72;

/** A string from a file, safe to print; a long one is cut. */
export function cell(text: string, longest = MAX_CELL): string {
  const shown = printable(text);
  return shown.length <= longest
    ? shown
    : `${Array.from(shown)
        .slice(0, longest - 1)
        .join('')}…`;
}

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
