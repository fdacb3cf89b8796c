import { usageError } from '../errors.js';
import type { Ranking } from './method.js';
import { bitsOf, COARSE_BINS, type Cut, cutAt, keyOfBits } from './radix.js';

/** Ranks [from, to) of one ranking: what is above `to` and not above `from`. */
export interface RankingCuts {
  readonly from: Cut;
  readonly to: Cut;
}

/** Scores of some tokens (or units) with the eligibility that goes with them; arrays of one length. */
export interface Scored {
  readonly scores: Float32Array;
  readonly eligible: Uint8Array;
}

/** −Infinity is how a method says "never"; such tokens count as eligible but have no rank. */
export const NEVER_BITS = 0xff80_0000;

/**
 * The ranking's bounds for a scope, checked, and cut to the tokens that can be kept at all.
 * @throws usage `bad-bounds` when a method's own bounds make no sense.
 */
export function boundsOf(
  bounds: Ranking['bounds'],
  eligible: number,
  candidates: number,
): readonly [number, number] {
  const [from, to] = bounds(eligible);
  if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= eligible)) {
    throw usageError(
      'bad-bounds',
      `the method keeps ranks ${from} to ${to} of ${eligible} eligible tokens; expected whole numbers, 0 <= from <= to <= eligible`,
    );
  }
  const first = Math.min(from, candidates);
  const end = Math.min(to, candidates);
  return first < end ? [first, end] : [0, 0];
}

/** Memory that windows of one part share. */
export interface Scratch {
  keys: Uint32Array;
}

/** Ranks what is in memory: the chunks of one window, in order. */
export function rankInMemory(
  chunks: readonly Scored[],
  bounds: Ranking['bounds'],
  scratch: Scratch,
): RankingCuts {
  let total = 0;
  for (const chunk of chunks) total += chunk.scores.length;
  if (scratch.keys.length < total) scratch.keys = new Uint32Array(Math.max(total, COARSE_BINS));
  const { keys } = scratch;
  let eligible = 0;
  let count = 0;
  for (const chunk of chunks) {
    const bits = bitsOf(chunk.scores);
    for (let i = 0; i < bits.length; i++) {
      if (chunk.eligible[i] === 0) continue;
      eligible++;
      const pattern = bits[i] ?? 0;
      if (pattern !== NEVER_BITS) keys[count++] = keyOfBits(pattern);
    }
  }
  const [from, to] = boundsOf(bounds, eligible, count);
  return { from: cutAt(keys, count, from), to: cutAt(keys, count, to) };
}

/** Cuts with the ties that are still to be given out as a scope is walked in order. */
export interface RunningCuts {
  readonly cuts: RankingCuts;
  fromTies: number;
  toTies: number;
}

export const runCuts = (cuts: RankingCuts): RunningCuts => ({
  cuts,
  fromTies: cuts.from.ties,
  toTies: cuts.to.ties,
});

/** Writes 1 to `kept` for what lies within the cuts, 0 otherwise. Call in the scope's order. */
export function markKept(chunk: Scored, running: RunningCuts, kept: Uint8Array): void {
  const { scores, eligible } = chunk;
  const from = running.cuts.from.score;
  const to = running.cuts.to.score;
  let { fromTies, toTies } = running;
  if (from === Number.POSITIVE_INFINITY && fromTies <= 0) {
    running.toTies = markAbove(chunk, to, toTies, kept);
    return;
  }
  for (let i = 0; i < scores.length; i++) {
    kept[i] = 0;
    if (eligible[i] === 0) continue;
    const score = scores[i] as number;
    if (score < to) continue;
    let within = score > to || toTies > 0;
    if (score === to) toTies--;
    if (score >= from) {
      if (score > from || fromTies > 0) within = false;
      if (score === from) fromTies--;
    }
    if (within) kept[i] = 1;
  }
  running.fromTies = fromTies;
  running.toTies = toTies;
}

/** The common case, nothing cut off above. Returns the ties that are left. */
function markAbove({ scores, eligible }: Scored, to: number, ties: number, kept: Uint8Array): number {
  let left = ties;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] as number;
    // A number, not a branch: which side of the cut a token is on cannot be predicted.
    kept[i] = (eligible[i] as number) & +(score > to);
    if (score === to && eligible[i] === 1) {
      if (left > 0) kept[i] = 1;
      left--;
    }
  }
  return left;
}

/** The rank of element `index`, 1 for the one that is kept first: of equal scores the earlier one, as `markKept` has it. */
export function rankOf({ scores, eligible }: Scored, index: number): number {
  const score = scores[index] ?? Number.NaN;
  let before = 0;
  for (let i = 0; i < scores.length; i++) {
    if (eligible[i] !== 1) continue;
    const other = scores[i] ?? Number.NaN;
    if (other > score || (other === score && i < index)) before++;
  }
  return before + 1;
}

export function countOnes(flags: Uint8Array): number {
  let ones = 0;
  for (let i = 0; i < flags.length; i++) ones += flags[i] as number;
  return ones;
}

export const NO_FLAGS = new Uint8Array(0);
