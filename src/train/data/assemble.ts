import { markRuns } from '../../sequence/runs.js';
import type { RowOrigin, StepBatch } from '../batch.js';
import type { Chunk, Wanted } from './chunk.js';

/** Row `index` of a chunk. */
export interface Row {
  readonly chunk: Chunk;
  readonly index: number;
}

/**
 * Rows side by side, padded to `wanted.length` ids.
 * @param count rows of the batch; those beyond `rows` are padding without a target
 */
export function assembleBatch(rows: readonly Row[], count: number, wanted: Wanted): StepBatch {
  const { length } = wanted;
  const size = count * length;
  const ids = new Int32Array(size);
  const eligible = new Float32Array(size);
  const referenceLoss = wanted.hasReferenceLoss ? new Float32Array(size).fill(Number.NaN) : null;
  const weight = wanted.hasWeights ? new Float32Array(size) : null;
  rows.forEach(({ chunk, index }, row) => {
    const start = chunk.offsets[index] ?? 0;
    const end = chunk.offsets[index + 1] ?? 0;
    ids.set(chunk.ids.subarray(start, end), row * length);
    eligible.set(chunk.eligible.subarray(start, end), row * length);
    if (chunk.referenceLoss) referenceLoss?.set(chunk.referenceLoss.subarray(start, end), row * length);
    if (chunk.weight) weight?.set(chunk.weight.subarray(start, end), row * length);
  });
  const batch = { ids, eligible, referenceLoss, weight, origins: rows.map(originOf) };
  if (wanted.attention === 'across') return batch;
  const positions = new Int32Array(size);
  const documents = new Int32Array(size);
  rows.forEach(({ chunk: { runs }, index }, row) => {
    const counts = runs?.counts.subarray(runs.offsets[index], runs.offsets[index + 1]) ?? [];
    markRuns(counts, row * length, (row + 1) * length, positions, documents);
  });
  return { ...batch, positions, documents };
}

function originOf({ chunk, index }: Row): RowOrigin {
  const { source, part, sequenceIds, firstDocument, lastDocument } = chunk;
  return {
    source: source.name,
    shard: part.manifest.shard,
    part: part.manifest.part,
    sequenceId: sequenceIds[index] ?? 0n,
    documents: [firstDocument[index] ?? 0n, lastDocument[index] ?? 0n],
  };
}
