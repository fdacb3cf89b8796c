/** Rows of ids for a request, by lm-evaluation-harness's rules of tokenization and of windows. */
import type { RequestMarks } from '../tokenizer/tokenizer.js';

/** One row: ids, the last `targets` of them scored. */
export interface ContinuationRow {
  readonly ids: Int32Array;
  readonly targets: number;
  readonly dropped: number;
}

/** What the first token of all follows: BOS, or else EOS; null where there is neither. */
type Prefix = Pick<RequestMarks, 'prefixId'>;

/**
 * Ids as the harness has them encoded: with what the tokenizer's own encoding puts around a text, unless the text begins with BOS
 * spelled out, which then is no text.
 */
export const asEncoded = (ids: Int32Array, { before, after, prefixId }: RequestMarks): Int32Array =>
  before.length + after.length === 0 || (ids.length > 0 && ids[0] === prefixId)
    ? ids
    : Int32Array.from([...before, ...ids, ...after]);

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
 * one of context, the last one as much context as fits. What `encode` puts around the text is of the text, as in the harness.
 *
 * @param tokens as `asEncoded` gives them
 */
export function rollingRows(
  tokens: Int32Array,
  { prefixId }: Prefix,
  length: number,
): readonly ContinuationRow[] {
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
