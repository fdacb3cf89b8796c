/** Rows of ids for a request, by lm-evaluation-harness's rules of tokenization and of windows. */
import type { ContinuationRow } from './continuations.js';

/**
 * Python's `str.isspace`, by which the harness moves white space from a context's end to the continuation: not JavaScript's,
 * which has U+FEFF and lacks U+0085 and the separators U+001C to U+001F.
 */
const isSpace = (code: number): boolean =>
  (code >= 0x09 && code <= 0x0d) ||
  (code >= 0x1c && code <= 0x20) ||
  code === 0x85 ||
  code === 0xa0 ||
  code === 0x1680 ||
  (code >= 0x2000 && code <= 0x200a) ||
  code === 0x2028 ||
  code === 0x2029 ||
  code === 0x202f ||
  code === 0x205f ||
  code === 0x3000;

/** The context without the white space at its end, which belongs to the continuation. */
export function strippedContext(context: string): string {
  let end = context.length;
  while (end > 0 && isSpace(context.charCodeAt(end - 1))) end--;
  return context.slice(0, end);
}

/** Ids that rows begin with. */
export interface Prefix {
  /** Inserted before every text; null where there is none. */
  readonly bosId: number | null;
  /** What the first token of all follows: BOS, or else EOS; null where there is neither. */
  readonly prefixId: number | null;
}

/**
 * The row of a continuation of nothing: it follows the prefix. Null where there is no prefix, no token, or too many for a row.
 */
export function unconditionedRow(
  ids: Int32Array,
  { prefixId }: Prefix,
  length: number,
): ContinuationRow | null {
  if (prefixId === null || ids.length === 0) return null;
  const row = ids[0] === prefixId ? ids : Int32Array.from([prefixId, ...ids]);
  const targets = row.length - 1;
  return targets < 1 || row.length > length ? null : { ids: row, targets, dropped: 0 };
}

/**
 * The rows of a whole text: the first has the prefix and as many tokens as fit, every later one as many tokens as it can with
 * one of context, the last one as much context as fits. Where a BOS is inserted it is a token of the text, as in the harness.
 */
export function rollingRows(
  ids: Int32Array,
  { bosId, prefixId }: Prefix,
  length: number,
): readonly ContinuationRow[] {
  const tokens = bosId === null ? ids : Int32Array.from([bosId, ...ids]);
  if (prefixId === null || tokens.length === 0) return [];
  const most = length - 1;
  const first = Math.min(most, tokens.length);
  const rows: ContinuationRow[] = [
    { ids: Int32Array.from([prefixId, ...tokens.subarray(0, first)]), targets: first, dropped: 0 },
  ];
  for (let predicted = first; predicted < tokens.length; ) {
    const targets = Math.min(tokens.length - predicted, most);
    predicted += targets;
    rows.push({ ids: tokens.subarray(predicted - length, predicted), targets, dropped: 0 });
  }
  return rows;
}
