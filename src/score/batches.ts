import type { AttentionScope } from '../sequence/packing.js';
import { markRuns } from '../sequence/runs.js';
import type { Sequence } from '../sequence/sequence.js';

/** The shape of every batch follows from these and the sequences alone, never from timing. */
export interface BatchRules {
  /** Positions a batch, padding included: rows × length stays at or below it (one row at least). */
  readonly batchTokens: number;
  /** Longest row, in ids. */
  readonly length: number;
  readonly attention: AttentionScope;
  /** Sequences that batches are cut from together, in batches. One where all rows have one length. */
  readonly windowBatches: number;
  /** Fill the last batch of each length with padding rows, so that shapes never vary (GPU). */
  readonly fixedRows: boolean;
  /** Pad every row to `length`, so that there is one shape (CUDA). */
  readonly fixedLength?: boolean;
}

/** One call of the models. Row r of the batch is `sequences[r]`; rows beyond are padding. */
export interface Batch {
  readonly sequences: readonly Sequence[];
  readonly rows: number;
  readonly length: number;
  /** [rows · length] */
  readonly ids: Int32Array;
  /** [rows · length] each, with attention `within`: position in the document's run; run index in the row. */
  readonly positions?: Int32Array;
  readonly documents?: Int32Array;
}

/**
 * Windows for rows of mixed lengths: rows of like length share a batch, so a window much larger than a batch
 * keeps padding low; it bounds what waits in memory.
 */
export const MIXED_WINDOW_BATCHES = 32;

/** Row lengths that batches may have: 64, 96, 128, 192, 256, … up to `length` itself; padding stays below a third. */
export function lengthLadder(length: number): readonly number[] {
  const steps: number[] = [];
  for (let step = 64; step < length; step *= 2) {
    steps.push(step);
    if (step * 1.5 < length) steps.push(step * 1.5);
  }
  steps.push(length);
  return steps;
}

/** The lengths that rows are padded to. */
export const rowLengths = ({
  length,
  fixedLength,
}: Pick<BatchRules, 'length' | 'fixedLength'>): readonly number[] =>
  fixedLength === true ? [length] : lengthLadder(length);

/** Groups sequences, in order, into windows of `windowBatches` batches. */
export async function* windowsOf(
  sequences: AsyncIterable<readonly Sequence[]>,
  rules: BatchRules,
): AsyncGenerator<readonly Sequence[]> {
  // A whole number of full rows, so that windows of full rows are cut into full batches.
  const limit =
    Math.max(1, Math.floor(rules.batchTokens / rules.length)) * rules.length * rules.windowBatches;
  let window: Sequence[] = [];
  let tokens = 0;
  for await (const group of sequences) {
    for (const sequence of group) {
      window.push(sequence);
      tokens += sequence.ids.length;
      if (tokens >= limit) {
        yield window;
        window = [];
        tokens = 0;
      }
    }
  }
  if (window.length > 0) yield window;
}

/** The batches of one window, longest rows first. Rows without a target are in no batch: nothing is asked of them. */
export function planBatches(window: readonly Sequence[], rules: BatchRules): Batch[] {
  const byLength = new Map<number, Sequence[]>();
  const ladder = rowLengths(rules);
  for (const sequence of window) {
    if (!sequence.eligible.includes(1)) continue;
    const length = ladder.find((step) => step >= sequence.ids.length) ?? rules.length;
    const group = byLength.get(length);
    if (group === undefined) byLength.set(length, [sequence]);
    else group.push(sequence);
  }
  const batches: Batch[] = [];
  for (const length of [...byLength.keys()].sort((a, b) => b - a)) {
    const group = byLength.get(length) ?? [];
    const capacity = Math.max(1, Math.floor(rules.batchTokens / length));
    for (let at = 0; at < group.length; at += capacity) {
      const sequences = group.slice(at, at + capacity);
      batches.push(
        assemble(sequences, rules.fixedRows ? capacity : sequences.length, length, rules.attention),
      );
    }
  }
  return batches;
}

/** Padding is id 0 at the end of a row: attention is causal, so no target sees it. */
function assemble(
  sequences: readonly Sequence[],
  rows: number,
  length: number,
  attention: AttentionScope,
): Batch {
  const ids = new Int32Array(rows * length);
  sequences.forEach((sequence, row) => {
    ids.set(sequence.ids, row * length);
  });
  if (attention === 'across') return { sequences, rows, length, ids };
  const positions = new Int32Array(rows * length);
  const documents = new Int32Array(rows * length);
  sequences.forEach((sequence, row) => {
    const counts = sequence.segments.map(({ tokenCount }) => tokenCount);
    markRuns(counts, row * length, (row + 1) * length, positions, documents);
  });
  return { sequences, rows, length, ids, positions, documents };
}
