import type { SequenceBatch } from '../../dataset/sequence-batch.js';
import type { Evidence } from './diagnose.js';
import { createExcessTally } from './excess-figures.js';
import { createGroupTally, type DocumentFacts } from './group-figures.js';

/** Evidence from the batches of a data set, gathered while something else reads them. */
export interface BatchTally {
  /** @param factsOf what is known of a document, by its row in the shard */
  begin(shard: string, factsOf: (document: number) => DocumentFacts | null): void;
  /** @param weights [tokens]; without them nothing is said of what is kept */
  add(batch: SequenceBatch, weights: Float32Array | undefined): void;
  end(): void;
  evidence(): Omit<Evidence, 'method'>;
}

/** @param axes what documents are grouped by, in the order of their names */
export function createBatchTally(axes: readonly string[]): BatchTally {
  const excess = createExcessTally();
  const groups = createGroupTally(axes);
  return {
    begin: groups.begin,
    end: groups.end,
    add(batch, weights) {
      const { reference_loss: reference, current_loss: current } = batch.columns;
      if (reference !== undefined && current !== undefined) excess.add(reference, current, weights);
      const losses = reference ?? current;
      if (losses === undefined || weights === undefined) return;
      const { offsets, segments } = batch;
      for (let row = 0; row + 1 < offsets.length; row++) {
        const start = offsets[row] as number;
        for (let s = segments.offsets[row] as number; s < (segments.offsets[row + 1] as number); s++) {
          const from = start + (segments.tokenStart[s] as number);
          const to = from + (segments.tokenCount[s] as number);
          const tokens = countLosses(losses, from, to);
          groups.add(Number(segments.document[s]), tokens, sumWeights(losses, weights, from, to));
        }
      }
    },
    evidence: () => ({ excess: excess.figures(), groups: groups.axes() }),
  };
}

function countLosses(losses: Float32Array, from: number, to: number): number {
  let tokens = 0;
  for (let i = from; i < to; i++) tokens += +!Number.isNaN(losses[i] as number);
  return tokens;
}

/** Weights [from, to) of tokens that have a loss, added up in order. */
function sumWeights(losses: Float32Array, weights: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) if (!Number.isNaN(losses[i] as number)) sum += weights[i] as number;
  return sum;
}
