import type { CorpusRow } from './document.js';

/** Rows before row `limit` of the shard; all of them without one. */
export async function* firstRows(
  rows: AsyncIterable<CorpusRow>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<CorpusRow, void, undefined> {
  for await (const row of rows) {
    if (row.row >= limit) return;
    yield row;
  }
}
