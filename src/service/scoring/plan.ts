/**
 * Which waiting rows the models run next: a pure function of the rows, apart from whoever runs them.
 *
 * A row's turn is that of its request (`clock.ts`), plus the request's own tokens before it. Lowest turn first, so a
 * short request does not wait behind the rows of long ones; and no row starves, since the common clock passes its turn
 * and what comes much later has a higher one.
 */
import { rowLengths } from '../../score/batches.js';

export interface WaitingRow {
  readonly turn: number;
  /** Order of arrival, for rows of one turn. Distinct. */
  readonly order: number;
  /** Ids of the row. */
  readonly length: number;
  /** The request it belongs to. */
  readonly request: number;
  /** Shares a batch with rows of its own request only: a batch that it was in has failed. */
  readonly alone: boolean;
}

export interface PlanRules {
  /** Tokens a batch, padding included: rows × row length stays at or below it (one row at least). */
  readonly batchTokens: number;
  /** Longest row. */
  readonly length: number;
  /** Every row is padded to `length`. */
  readonly fixedLength?: boolean;
}

/** The length that a row is padded to. */
export function paddedLength(length: number, ladder: readonly number[]): number {
  return ladder.find((step) => step >= length) ?? ladder.at(-1) ?? length;
}

/**
 * The rows of the next batch, lowest turn first; none when nothing waits. The row whose turn is lowest is always
 * among them and sets the batch's length; the rest are the next rows that are padded to the same length.
 */
export function nextBatch<Row extends WaitingRow>(waiting: readonly Row[], rules: PlanRules): Row[] {
  const first = waiting.reduce<Row | null>(
    (best, row) => (best === null || before(row, best) < 0 ? row : best),
    null,
  );
  if (first === null) return [];
  const ladder = rowLengths(rules);
  const length = paddedLength(first.length, ladder);
  const fits = (row: Row): boolean =>
    paddedLength(row.length, ladder) === length && (first.alone ? row.request === first.request : !row.alone);
  const capacity = Math.max(1, Math.floor(rules.batchTokens / length));
  return waiting.filter(fits).sort(before).slice(0, capacity);
}

const before = (a: WaitingRow, b: WaitingRow): number => a.turn - b.turn || a.order - b.order;
