import type { SequenceBatch } from '../dataset/sequence-batch.js';
import { usageError } from '../errors.js';
import { countPositive, sumFrom } from '../numbers/sums.js';
import { newUnitCounter, scoreTokens, scoreUnits, unitRuns } from './elements.js';
import type { Ranked, TokenPlan, UnitPlan } from './method.js';
import type { PartSource } from './part-source.js';
import {
  countOnes,
  markKept,
  type RankingCuts,
  type RunningCuts,
  rankInMemory,
  runCuts,
  type Scored,
} from './ranking.js';
import type { Scope } from './scope.js';
import { createScratch, NO_SCRATCH } from './scratch.js';
import { noteCutoff, type Tally } from './statistics.js';
import { readTokens, sliceTokens, type Tokens, tokenPlace } from './tokens.js';
import { windowCutter } from './windows.js';

/** A batch with its weights, [tokens], 0 where a token is not eligible. */
export interface Weighted {
  readonly batch: SequenceBatch;
  readonly weights: Float32Array;
}

/** What weighing a part takes: the cuts are null where the scope lies within the part. */
export interface WeighJob<P> {
  readonly source: PartSource;
  readonly plan: P;
  readonly method: string;
  readonly scope: Scope;
  readonly cuts: readonly RankingCuts[] | null;
  readonly fitted: unknown;
  readonly tally: Tally;
}

/** A batch on its way to its weights. Arrays are [tokens]; one entry a ranking. */
interface Pending {
  readonly tokens: Tokens;
  readonly scores: readonly Float32Array[];
  readonly kept: readonly Uint8Array[];
  readonly weights: Float32Array;
}

/** Rows [rowStart, rowEnd) of a pending batch: its share of one window. */
interface Piece {
  readonly of: Pending;
  readonly rowStart: number;
  rowEnd: number;
}

/**
 * Weighs tokens in the part's order. Holds one window, and the batches that it lies in; nothing but one batch
 * when the cuts are known beforehand.
 */
export async function* weighTokens(job: WeighJob<TokenPlan>): AsyncGenerator<Weighted> {
  const { plan, source, method } = job;
  const startsWindow = windowCutter(job.scope, source);
  const scratch = { keys: new Uint32Array(0) };
  const known = job.cuts?.map(runCuts) ?? null;
  let pending: Pending[] = [];
  let window: Piece[] = [];

  const close = (): void => {
    if (window.length === 0) return;
    const running = plan.rankings.map((ranking, r) =>
      runCuts(
        rankInMemory(
          window.map((piece) => chunkOf(piece, r)),
          ranking.bounds,
          scratch,
        ),
      ),
    );
    job.tally.scopes += plan.rankings.length > 0 ? 1 : 0;
    for (const piece of window) weighPiece(job, piece, running);
    window = [];
  };

  // Without a window no batch waits for another.
  const reused = known !== null || plan.rankings.length === 0 ? createScratch() : NO_SCRATCH;
  for await (const tokens of readTokens(source, plan.columns, method, reused)) {
    const { length } = tokens;
    const scored: Pending = {
      tokens,
      scores: plan.rankings.map((ranking, r) =>
        scoreTokens(ranking.score, tokens, method, reused.floats(`scores ${r}`, length)),
      ),
      kept: plan.rankings.map((_, r) => reused.flags(`kept ${r}`, length)),
      weights: new Float32Array(tokens.length),
    };
    // Without a ranking no token depends on another: the scope does not matter.
    if (known !== null || plan.rankings.length === 0) {
      weighPiece(job, { of: scored, rowStart: 0, rowEnd: tokens.rowEnd }, known ?? []);
      yield { batch: tokens.batch, weights: scored.weights };
      continue;
    }
    pending.push(scored);
    for (let row = 0; row < tokens.rowEnd; row++) {
      if (startsWindow(rowLength(tokens.batch, row), tokens.batch.sequenceIds[row] ?? row)) close();
      const last = window[window.length - 1];
      if (last?.of === scored) last.rowEnd = row + 1;
      else window.push({ of: scored, rowStart: row, rowEnd: row + 1 });
    }
    const firstOpen = window[0]?.of;
    while (pending[0] !== undefined && pending[0] !== firstOpen) {
      const done = pending.shift();
      if (done !== undefined) yield { batch: done.tokens.batch, weights: done.weights };
    }
  }
  close();
  for (const done of pending) yield { batch: done.tokens.batch, weights: done.weights };
  pending = [];
}

const rowLength = (batch: SequenceBatch, row: number): number =>
  (batch.offsets[row + 1] ?? 0) - (batch.offsets[row] ?? 0);

const rangeOf = ({ of, rowStart, rowEnd }: Piece): readonly [number, number] => [
  of.tokens.batch.offsets[rowStart] ?? 0,
  of.tokens.batch.offsets[rowEnd] ?? 0,
];

function chunkOf(piece: Piece, ranking: number): Scored {
  const [start, end] = rangeOf(piece);
  return {
    scores: (piece.of.scores[ranking] ?? new Float32Array(0)).subarray(start, end),
    eligible: piece.of.tokens.eligible.subarray(start, end),
  };
}

function weighPiece(job: WeighJob<TokenPlan>, piece: Piece, running: readonly RunningCuts[]): void {
  const { of } = piece;
  const [start, end] = rangeOf(piece);
  const ranked = running.map((cuts, r): Ranked => {
    const chunk = chunkOf(piece, r);
    const kept = (of.kept[r] ?? new Uint8Array(0)).subarray(start, end);
    const cutoff = cuts.cuts.to.score;
    markKept(chunk, cuts, kept);
    noteCutoff(job.tally, r, cutoff);
    return { scores: chunk.scores, kept, cutoff };
  });
  const tokens = sliceTokens(of.tokens, piece.rowStart, piece.rowEnd);
  const weights = of.weights.subarray(start, end);
  job.plan.weigh(tokens, ranked, weights, job.fitted);
  settle(job, tokens, weights);
}

/** Zeroes what is not eligible, refuses what is no weight, counts. */
function settle(job: WeighJob<unknown>, tokens: Tokens, weights: Float32Array): void {
  const { tally } = job;
  const bad = settleWeights(weights, tokens.eligible);
  if (bad >= 0) {
    throw usageError(
      'bad-weight',
      `${tokenPlace(tokens.source, tokens.batch, tokens.start + bad)}: method ${job.method} gave weight ${weights[bad]}; expected a finite number of at least 0`,
    );
  }
  tally.tokens += weights.length;
  tally.eligible += countOnes(tokens.eligible);
  tally.kept += countPositive(weights);
  tally.weightSum += sumFrom(0, weights);
}

/** Writes 0 where a token is not eligible. Returns the first one whose weight is none, −1 if there is none. */
function settleWeights(weights: Float32Array, eligible: Uint8Array): number {
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (eligible[i] === 0) weights[i] = 0;
    else if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) return i;
  }
  return -1;
}

/**
 * Keeps whole units: a first reading of the part gives one score a unit (some bytes each), the second writes
 * the weights, so that no document need be held however long it is.
 */
export async function* weighUnits(job: WeighJob<UnitPlan>): AsyncGenerator<Weighted> {
  const { plan, source, method } = job;
  const kept = await keepUnits(job);
  const counter = newUnitCounter();
  for await (const tokens of readTokens(source, plan.columns, method)) {
    const weights = new Float32Array(tokens.length);
    for (const { unit, start, end } of unitRuns(tokens, plan.unit, counter)) {
      weights.fill(kept[unit] ?? 0, start, end);
    }
    settle(job, tokens, weights);
    yield { batch: tokens.batch, weights };
  }
}

/** [units of the part] 1 for those kept. */
async function keepUnits(job: WeighJob<UnitPlan>): Promise<Uint8Array> {
  const { plan, source, method, tally } = job;
  const units = await scoreUnits(source, plan, method);
  const kept = new Uint8Array(units.scores.length);
  const mark = (from: number, to: number, cuts: RankingCuts): void => {
    markKept(sliceScored(units, from, to), runCuts(cuts), kept.subarray(from, to));
    noteCutoff(tally, 0, cuts.to.score);
  };
  const known = job.cuts?.[0];
  if (known !== undefined) {
    mark(0, kept.length, known);
    return kept;
  }
  const startsWindow = windowCutter(job.scope, source);
  const scratch = { keys: new Uint32Array(0) };
  let start = 0;
  for (let unit = 0; unit <= kept.length; unit++) {
    if (unit < kept.length && !startsWindow(units.lengths[unit] ?? 0, unit)) continue;
    if (unit > start) {
      mark(start, unit, rankInMemory([sliceScored(units, start, unit)], plan.bounds, scratch));
      tally.scopes++;
    }
    start = unit;
  }
  return kept;
}

const sliceScored = ({ scores, eligible }: Scored, from: number, to: number): Scored => ({
  scores: scores.subarray(from, to),
  eligible: eligible.subarray(from, to),
});
