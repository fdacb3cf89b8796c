import { usageError } from '../errors.js';
import type { Plan, ScoreKernel, UnitPlan } from './method.js';
import type { PartSource } from './part-source.js';
import type { Scored } from './ranking.js';
import { createScratch } from './scratch.js';
import { documentRuns, readTokens, type Tokens, tokenPlace } from './tokens.js';

/** A kernel's scores of the tokens. @throws usage `score-not-a-number` when an eligible token's is NaN. */
export function scoreTokens(
  kernel: ScoreKernel,
  tokens: Tokens,
  method: string,
  scores: Float32Array = new Float32Array(tokens.length),
): Float32Array {
  kernel(tokens, scores);
  const { eligible } = tokens;
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i] as number) && eligible[i] === 1) {
      throw usageError(
        'score-not-a-number',
        `${tokenPlace(tokens.source, tokens.batch, tokens.start + i)}: method ${method} gave a score of NaN; expected a number, or -Infinity for never`,
      );
    }
  }
  return scores;
}

/**
 * What the plan ranks, in the part's order: per batch the scores of the tokens (one `Scored` a ranking, or a
 * signal), or all units of the part at once. What is given out holds until the next batch.
 */
export async function* elementsOf(
  source: PartSource,
  plan: Plan,
  method: string,
  which: 'rankings' | 'signals',
): AsyncGenerator<readonly Scored[]> {
  if (plan.unit !== 'token') {
    yield [await scoreUnits(source, plan, method)];
    return;
  }
  const kernels = which === 'signals' ? plan.signals : plan.rankings.map((ranking) => ranking.score);
  const scratch = createScratch();
  for await (const tokens of readTokens(source, plan.columns, method, scratch)) {
    yield kernels.map((kernel, k) => ({
      scores: scoreTokens(kernel, tokens, method, scratch.floats(`scores ${k}`, tokens.length)),
      eligible: tokens.eligible,
    }));
  }
}

/** The units of a part. All arrays are [units]. */
export interface Units extends Scored {
  /** Tokens of each unit. */
  readonly lengths: Int32Array;
}

/** Number of the unit that each run of tokens belongs to, counted over the part. */
export interface UnitRun {
  readonly unit: number;
  readonly start: number;
  readonly end: number;
}

/** Carries the unit across batches: a document may go on in the next row and the next batch. */
export interface UnitCounter {
  unit: number;
  document: bigint | null;
}

export const newUnitCounter = (): UnitCounter => ({ unit: -1, document: null });

export function* unitRuns(tokens: Tokens, unit: UnitPlan['unit'], counter: UnitCounter): Generator<UnitRun> {
  if (unit === 'sequence') {
    for (let row = tokens.rowStart; row < tokens.rowEnd; row++) {
      const start = (tokens.batch.offsets[row] ?? 0) - tokens.start;
      const end = (tokens.batch.offsets[row + 1] ?? 0) - tokens.start;
      yield { unit: ++counter.unit, start, end };
    }
    return;
  }
  for (const run of documentRuns(tokens)) {
    if (run.document !== counter.document) {
      counter.unit++;
      counter.document = run.document;
    }
    yield { unit: counter.unit, start: run.start, end: run.end };
  }
}

/** One score a sequence or document: the sum or mean over its eligible tokens, fp64 in order, then fp32. */
export async function scoreUnits(source: PartSource, plan: UnitPlan, method: string): Promise<Units> {
  const sums: number[] = [];
  const counts: number[] = [];
  const lengths: number[] = [];
  const counter = newUnitCounter();
  const scratch = createScratch();
  for await (const tokens of readTokens(source, plan.columns, method, scratch)) {
    const scores = scoreTokens(plan.tokenScore, tokens, method, scratch.floats('scores', tokens.length));
    for (const { unit, start, end } of unitRuns(tokens, plan.unit, counter)) {
      let sum = sums[unit] ?? 0;
      let count = counts[unit] ?? 0;
      for (let i = start; i < end; i++) {
        if (tokens.eligible[i] === 0) continue;
        sum += scores[i] ?? 0;
        count++;
      }
      sums[unit] = sum;
      counts[unit] = count;
      lengths[unit] = (lengths[unit] ?? 0) + end - start;
    }
  }
  return {
    scores: Float32Array.from(sums, (sum, u) => (plan.reduce === 'mean' ? sum / (counts[u] ?? 0) : sum)),
    eligible: Uint8Array.from(counts, (count) => (count > 0 ? 1 : 0)),
    lengths: Int32Array.from(lengths),
  };
}
