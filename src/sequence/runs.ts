/**
 * Attention `within`: for every place of a row the position in its document's run and the run's index in the row.
 * @param counts tokens of each run, in order; together the row's
 * @param start where the row begins in `positions` and `documents` · @param end where its padding ends, which is a
 *   run of its own, at position 0
 */
export function markRuns(
  counts: ArrayLike<number>,
  start: number,
  end: number,
  positions: Int32Array,
  documents: Int32Array,
): void {
  let at = start;
  for (let run = 0; run < counts.length; run++) {
    const count = counts[run] ?? 0;
    documents.fill(run, at, at + count);
    for (let i = 0; i < count; i++) positions[at + i] = i;
    at += count;
  }
  documents.fill(counts.length, at, end);
}
