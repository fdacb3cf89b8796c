import type { SequenceBatch } from '../../dataset/sequence-batch.js';
import { targetsOf } from '../../dataset/targets.js';
import type { Evidence } from './diagnose.js';
import { createExcessTally, type ExcessSums, type ExcessTally } from './excess-figures.js';
import { createGroupTally, type DocumentFacts } from './group-figures.js';

/** Evidence from the batches of a data set, gathered while something else reads them. */
export interface BatchTally {
  /** @param factsOf what is known of a document, by its row in the shard */
  begin(shard: string, factsOf: (document: number) => DocumentFacts | null): void;
  /** @param weights [tokens]; without them nothing is said of what is kept */
  add(batch: SequenceBatch, weights: Float32Array | undefined): void;
  /** The same of a part that was tallied by itself, between `begin` and `end`. */
  addPart(sums: PartSums): void;
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
      addExcess(batch, weights, excess);
      if (weights !== undefined) addDocuments(batch, weights, groups.add);
    },
    addPart(sums) {
      excess.addSums(sums.excess);
      for (const [document, { tokens, kept }] of sums.documents) groups.add(document, tokens, kept);
    },
    evidence: () => ({ excess: excess.figures(), groups: groups.axes() }),
  };
}

/** What the batches of one part come to, as plain data: it may be gathered in another thread. */
export interface PartSums {
  readonly excess: ExcessSums;
  /** Tokens with a loss, and their weights added up, by the document's row in the shard. */
  readonly documents: ReadonlyMap<number, DocumentSums>;
}

interface DocumentSums {
  tokens: number;
  kept: number;
}

export interface PartTally {
  add(batch: SequenceBatch, weights: Float32Array): void;
  sums(): PartSums;
}

export function createPartTally(): PartTally {
  const excess = createExcessTally();
  const documents = new Map<number, DocumentSums>();
  return {
    add(batch, weights) {
      addExcess(batch, weights, excess);
      addDocuments(batch, weights, (document, tokens, kept) => {
        const known = documents.get(document);
        if (known === undefined) documents.set(document, { tokens, kept });
        else {
          known.tokens += tokens;
          known.kept += kept;
        }
      });
    },
    sums: () => ({ excess: excess.sums(), documents }),
  };
}

function addExcess(batch: SequenceBatch, weights: Float32Array | undefined, excess: ExcessTally): void {
  const { reference_loss: reference, current_loss: current } = batch.columns;
  if (reference !== undefined && current !== undefined) excess.add(reference, current, weights);
}

/** Tells of every stretch of a document's tokens. */
function addDocuments(
  batch: SequenceBatch,
  weights: Float32Array,
  tell: (document: number, tokens: number, kept: number) => void,
): void {
  if ((batch.columns.reference_loss ?? batch.columns.current_loss) === undefined) return;
  const targets = targetsOf(batch);
  const { offsets, segments } = batch;
  for (let row = 0; row + 1 < offsets.length; row++) {
    const start = offsets[row] as number;
    for (let s = segments.offsets[row] as number; s < (segments.offsets[row + 1] as number); s++) {
      const from = start + (segments.tokenStart[s] as number);
      const to = from + (segments.tokenCount[s] as number);
      const tokens = countTargets(targets, from, to);
      if (tokens > 0) tell(Number(segments.document[s]), tokens, sumWeights(targets, weights, from, to));
    }
  }
}

function countTargets(targets: Uint8Array, from: number, to: number): number {
  let tokens = 0;
  for (let i = from; i < to; i++) tokens += targets[i] as number;
  return tokens;
}

/** Weights [from, to) of targets, added up in order. */
function sumWeights(targets: Uint8Array, weights: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i++) if (targets[i] === 1) sum += weights[i] as number;
  return sum;
}
