/**
 * The paper's four classes of tokens (arXiv 2404.07965), over the losses of the same tokens at two or more
 * checkpoints. Pure: spans of losses in, counts out.
 */
import type { PartPlace } from '../../dataset/part-files.js';
import type { SequenceBatch } from '../../dataset/sequence-batch.js';
import { DYNAMICS_CLASSES, DYNAMICS_THRESHOLD, type Dynamics, PAPER_SHARES } from './dynamics-report.js';
import type { Example } from './example-report.js';
import { createSample, drawRoom, drawRow, exampleOf, sampleKey } from './sample.js';

/**
 * What each checkpoint's loss counts for in Δ, the end of the least-squares line over checkpoints 0 … n − 1 less its
 * start: Δ = Σ c[j]·loss[j]. Two checkpoints give exactly −1 and 1.
 */
export function changeWeights(checkpoints: number): Float64Array {
  const middle = (checkpoints - 1) / 2;
  let squares = 0;
  for (let j = 0; j < checkpoints; j++) squares += (j - middle) ** 2;
  return Float64Array.from({ length: checkpoints }, (_, j) => ((j - middle) * (checkpoints - 1)) / squares);
}

/** Place in `DYNAMICS_CLASSES` of a token whose fitted line changes by `change` and which ends at loss `last`. */
export function classIndex(change: number, last: number, meanLast: number): number {
  if (change > DYNAMICS_THRESHOLD) return 1;
  if (change < -DYNAMICS_THRESHOLD) return 2;
  return last <= meanLast ? 3 : 0;
}

/** Rows of a batch with a loss a token at every checkpoint. */
export interface LossSpan {
  readonly place: PartPlace;
  readonly batch: SequenceBatch;
  readonly rowStart: number;
  readonly rowEnd: number;
  /** A checkpoint each: [tokens of the rows]; NaN where a token has no loss. */
  readonly losses: readonly Float32Array[];
}

/** Whether token `i` has a loss everywhere (1), nowhere (0) or at some checkpoints only (−1). */
function presence(losses: readonly Float32Array[], i: number): -1 | 0 | 1 {
  let has = 0;
  for (const column of losses) if (!Number.isNaN(column[i])) has++;
  return has === losses.length ? 1 : has === 0 ? 0 : -1;
}

/** First pass: the mean of the last checkpoint's losses, over tokens with a loss at every checkpoint. */
export function createMeanLast() {
  let tokens = 0;
  let unpaired = 0;
  let sum = 0;
  return {
    add({ losses }: Pick<LossSpan, 'losses'>): void {
      const last = losses.at(-1) ?? new Float32Array();
      let local = sum; // a number captured by a closure is boxed at every change
      for (let i = 0; i < last.length; i++) {
        const found = presence(losses, i);
        if (found === 1) {
          local += last[i] as number;
          tokens++;
        } else if (found === -1) unpaired++;
      }
      sum = local;
    },
    result: () => ({ tokens, unpaired, mean: tokens === 0 ? null : sum / tokens }),
  };
}

export interface DynamicsOptions {
  readonly meanLast: number;
  readonly checkpoints: number;
  /** Class of a token's text; without it no shares by class. */
  readonly classOf?: (id: number) => string;
  readonly seed: number;
  /** Examples of each class. */
  readonly examples: number;
}

/** Second pass: counts, means and a seeded sample of each class. Memory does not grow with the number of tokens. */
export function createDynamicsTally(options: DynamicsOptions) {
  const { checkpoints, meanLast, classOf, seed } = options;
  const weights = changeWeights(checkpoints);
  const counts = new Float64Array(DYNAMICS_CLASSES.length);
  const sums = new Float64Array(DYNAMICS_CLASSES.length * checkpoints);
  const samples = DYNAMICS_CLASSES.map(() =>
    createSample<Example & { readonly losses: number[] }>(options.examples),
  );
  const ofText = new Map<string, Float64Array>();
  const ofId = new Map<number, Float64Array>();

  const countsOf = (id: number, name: string): Float64Array => {
    const found = ofText.get(name) ?? new Float64Array(DYNAMICS_CLASSES.length);
    ofText.set(name, found);
    ofId.set(id, found);
    return found;
  };

  return {
    add({ place, batch, rowStart, rowEnd, losses }: LossSpan): void {
      const key = sampleKey(seed, place.shard);
      const words = drawRoom(batch);
      const last = losses[checkpoints - 1] ?? new Float64Array();
      const base = batch.offsets[rowStart] ?? 0;
      for (let row = rowStart; row < rowEnd; row++) {
        const start = batch.offsets[row] ?? 0;
        const length = (batch.offsets[row + 1] ?? 0) - start;
        drawRow(key, place.part, batch.sequenceIds[row] ?? 0n, length, words);
        for (let position = 0; position < length; position++) {
          const i = start - base + position;
          if (presence(losses, i) !== 1) continue;
          let change = 0;
          for (let j = 0; j < checkpoints; j++) change += (weights[j] as number) * (losses[j]?.[i] as number);
          const index = classIndex(change, last[i] as number, meanLast);
          counts[index] = (counts[index] as number) + 1;
          for (let j = 0; j < checkpoints; j++) {
            const slot = index * checkpoints + j;
            sums[slot] = (sums[slot] as number) + (losses[j]?.[i] as number);
          }
          if (classOf !== undefined) {
            const id = batch.inputIds[start + position] as number;
            const own = ofId.get(id) ?? countsOf(id, classOf(id));
            own[index] = (own[index] as number) + 1;
          }
          const word = words[position] as number;
          if (samples[index]?.takes(word)) {
            const example = exampleOf(place, batch, row, position);
            samples[index]?.add(word, { ...example, losses: losses.map((column) => column[i] as number) });
          }
        }
      }
    },
    result(): Pick<
      Dynamics,
      'threshold' | 'mean_last_loss' | 'tokens' | 'classes' | 'paper' | 'by_token_class' | 'seed'
    > {
      const tokens = counts.reduce((sum, count) => sum + count, 0);
      return {
        threshold: DYNAMICS_THRESHOLD,
        mean_last_loss: meanLast,
        tokens,
        classes: DYNAMICS_CLASSES.map((name, index) => {
          const own = counts[index] ?? 0;
          const mean = (j: number) => (own === 0 ? null : (sums[index * checkpoints + j] ?? 0) / own);
          return {
            class: name,
            tokens: own,
            share: tokens === 0 ? 0 : own / tokens,
            losses: Array.from({ length: checkpoints }, (_, j) => mean(j)),
            examples: [...(samples[index]?.items() ?? [])],
          };
        }),
        paper: { ...PAPER_SHARES },
        by_token_class:
          classOf === undefined
            ? null
            : [...ofText].map(([name, own]) => sharesOf(name, own)).sort(mostFirst),
        seed,
      };
    },
  };
}

type ClassShares = NonNullable<Dynamics['by_token_class']>[number];

function sharesOf(name: string, counts: Float64Array): ClassShares {
  const tokens = counts.reduce((sum, count) => sum + count, 0);
  const [hh = 0, lh = 0, hl = 0, ll = 0] = counts;
  return {
    name,
    tokens,
    shares: { 'H→H': hh / tokens, 'L→H': lh / tokens, 'H→L': hl / tokens, 'L→L': ll / tokens },
  };
}

const mostFirst = (a: ClassShares, b: ClassShares): number =>
  b.tokens - a.tokens || (a.name < b.name ? -1 : 1);
