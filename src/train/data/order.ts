import { permutation } from '../../numbers/permutation.js';
import { type PhiloxKey, philoxKey } from '../../numbers/philox.js';

/**
 * The order of a source's rows, epoch after epoch, as a pure function of seed, source and row counts
 * (docs/training.md, "Order of rows"). Parts are permuted, consecutive parts are grouped into windows of a bounded
 * number of tokens, and rows are permuted within their window: any place in the stream is found without reading
 * what comes before it.
 */

export interface PartSize {
  readonly rows: number;
  readonly tokens: number;
}

export interface OrderRules {
  readonly seed: number;
  /** Index of the source in the settings. */
  readonly source: number;
  /** Tokens a window; 0 keeps the files' order, a window being one part. */
  readonly windowTokens: number;
}

/** Some parts that are in memory together. */
export interface Window {
  readonly epoch: number;
  /** Index in the epoch. */
  readonly index: number;
  /** Indices of the parts, in the order in which their rows are numbered. */
  readonly parts: readonly number[];
  /** Rows [first, first + rows) of the epoch. */
  readonly first: number;
  readonly rows: number;
}

const keyOf = ({ seed, source }: OrderRules): PhiloxKey => philoxKey(seed, `order of rows\n${source}`);

/** The windows of one epoch, in order. Parts without rows are in none. A part beyond the bound is a window of its own. */
export function windowsOfEpoch(parts: readonly PartSize[], rules: OrderRules, epoch: number): Window[] {
  const inFileOrder = rules.windowTokens === 0;
  const order = inFileOrder ? parts.keys() : permutation(parts.length, keyOf(rules), epoch, 0, 0);
  const windows: Window[] = [];
  let open: number[] = [];
  let [first, rows, tokens] = [0, 0, 0];
  const close = (): void => {
    if (open.length > 0) windows.push({ epoch, index: windows.length, parts: open, first, rows });
    first += rows;
    open = [];
    rows = tokens = 0;
  };
  for (const index of order) {
    const part = parts[index];
    if (part === undefined || part.rows === 0) continue;
    if (inFileOrder || tokens + part.tokens > rules.windowTokens) close();
    open.push(index);
    rows += part.rows;
    tokens += part.tokens;
  }
  close();
  return windows;
}

/** The order of a window's rows: place i of the window is row `result[i]`, counted over its parts in their order. */
export function rowsOfWindow({ epoch, index, rows }: Window, rules: OrderRules): Uint32Array {
  if (rules.windowTokens === 0) return Uint32Array.from({ length: rows }, (_, i) => i);
  return permutation(rows, keyOf(rules), epoch, index, 1);
}

/** Windows from row `drawn` of the endless stream on: the first may be entered in its midst. */
export function* windowsFrom(
  parts: readonly PartSize[],
  rules: OrderRules,
  drawn: number,
): Generator<{ readonly window: Window; readonly skip: number }> {
  const perEpoch = parts.reduce((sum, { rows }) => sum + rows, 0);
  if (perEpoch === 0) return;
  let at = drawn % perEpoch;
  for (let epoch = Math.floor(drawn / perEpoch); ; epoch++) {
    for (const window of windowsOfEpoch(parts, rules, epoch)) {
      if (window.first + window.rows <= at) continue;
      yield { window, skip: Math.max(0, at - window.first) };
    }
    at = 0;
  }
}
