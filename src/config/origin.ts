/** Where in a file a setting stands, for messages: settings travel as plain objects, and say it when they are asked. */
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';

/** A place in a settings file: line and column from 1, and the line with a mark below what is meant. */
export interface Place {
  readonly line: number;
  readonly column: number;
  readonly frame: readonly string[];
}

/** `:12:5`, as compilers write it and editors open it. */
export const at = (place: Place | null): string => (place === null ? '' : `:${place.line}:${place.column}`);

interface Origin {
  readonly text: string;
  /** What was laid over it, by flags: that is not in the file, whatever the file says in its place. */
  readonly over: readonly object[];
}

const origins = new WeakMap<object, Origin>();

export const rememberText = (settings: object, text: string): void =>
  void origins.set(settings, { text, over: [] });

/** Hands the text of `from` on to settings that were made by laying `over` on it. */
export function inheritText(settings: object, from: object, over: object): void {
  const origin = origins.get(from);
  if (origin !== undefined) origins.set(settings, { ...origin, over: [...origin.over, over] });
}

const has = (settings: unknown, path: readonly PropertyKey[]): boolean => {
  let value = settings;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return false;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value !== undefined;
};

/** Finds settings in the file that they were read from; null where they come from no file. */
export function placesOf(settings: unknown): ((path: readonly PropertyKey[]) => Place | null) | null {
  const origin = typeof settings === 'object' && settings !== null ? origins.get(settings) : undefined;
  if (origin === undefined) return null;
  const { text, over } = origin;
  const lines = new LineCounter();
  const document = parseDocument(text, {
    merge: true,
    logLevel: 'error',
    lineCounter: lines,
    uniqueKeys: false,
  });
  return (path) => {
    if (path.length > 0 && over.some((patch) => has(patch, path))) return null;
    const found = rangeOf(document.contents, path);
    return found === null ? null : placeAt(text, lines, found);
  };
}

/** The key of the last step, or the node of an item; of a step that is not there the nearest one above it. */
function rangeOf(contents: unknown, path: readonly PropertyKey[]): readonly [number, number] | null {
  let node = contents;
  let found: readonly [number, number] | null = null;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(
        ({ key }) => (isScalar(key) ? String(key.value) : String(key)) === String(step),
      );
      if (pair === undefined) return found;
      if (isNode(pair.key) && pair.key.range) found = [pair.key.range[0], pair.key.range[1]];
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      if (isNode(node) && node.range) found = [node.range[0], node.range[1]];
    } else return found;
  }
  return found;
}

/** A line longer than this is not shown. */
const WIDEST = 160;

export function placeAt(text: string, lines: LineCounter, [from, to]: readonly [number, number]): Place {
  const { line, col } = lines.linePos(from);
  const start = lines.lineStarts[line - 1] ?? 0;
  const shown = text.slice(start, lines.lineStarts[line] ?? text.length).replace(/\r?\n?$/, '');
  const marks = Math.max(1, Math.min(to, start + shown.length) - from);
  const gutter = `${line} | `;
  const plain = asColumns(shown);
  return {
    line,
    column: col,
    frame:
      shown.length > WIDEST || line === 0
        ? []
        : [gutter + plain, ' '.repeat(gutter.length) + blank(plain.slice(0, col - 1)) + '^'.repeat(marks)],
  };
}

/** Without what takes no column or any number of them: tabs, control characters, marks of writing direction. */
const asColumns = (line: string): string =>
  line.replace(/[\p{Cc}\p{Cf}]/gu, (found) => ' '.repeat(found.length));

/** As wide as the text: characters that take two columns become the space that does. */
const blank = (text: string): string =>
  text
    .replace(/\p{M}/gu, '')
    .replace(/./gsu, (found) =>
      /[\u{1100}-\u{115f}\u{2e80}-\u{a4cf}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe30}-\u{fe6f}\u{ff00}-\u{ff60}\u{ffe0}-\u{ffe6}\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        found,
      )
        ? '\u3000'
        : ' ',
    );
