import { planBatches } from '../../dist/score/batches.js';
import { randomIds } from './measure.mjs';

/** A batch of rows of random ids, every token but the first of a row a target. */
export function randomBatch({ rows, length }, vocabulary) {
  const ids = randomIds(rows * length, vocabulary);
  const sequences = Array.from({ length: rows }, (_, id) => ({
    id,
    ids: ids.subarray(id * length, (id + 1) * length),
    eligible: new Uint8Array(length).fill(1).fill(0, 0, 1),
    segments: [],
  }));
  const rules = {
    batchTokens: rows * length,
    length,
    attention: 'across',
    windowBatches: 1,
    fixedRows: true,
  };
  return planBatches(sequences, rules)[0];
}
