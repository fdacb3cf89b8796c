/**
 * Exact cuts of a scope that is wider than a part, in memory that does not grow with it. Every pass is a pure
 * function of a part, its result is plain data that adds up in any order, and parts can be read at once:
 *   coarse  counts of the upper 16 bits of the score keys        → the bin in which each cut falls
 *   fine    counts of the lower 16 bits within those bins        → the score at each cut, and the ties there
 *   ties    tokens of each part that equal a cut score, read only until the kept ties are used up
 * What comes out are cuts of each part's own, so that parts can then be weighed in any order.
 */
import pLimit from 'p-limit';
import { elementsOf } from './elements.js';
import type { Plan, Ranking } from './method.js';
import type { PartSource } from './part-source.js';
import { bitsOf, COARSE_BINS, type Cut, keyOfBits, locate, NOTHING, scoreOfKey } from './radix.js';
import { boundsOf, countOnes, NEVER_BITS, NO_FLAGS, type RankingCuts } from './ranking.js';

export interface GroupCuts {
  /** One entry a part, each one entry a ranking; `ties` are the part's own. */
  readonly parts: readonly (readonly RankingCuts[])[];
}

interface Summary {
  readonly eligible: number;
  readonly counts: readonly Uint32Array[];
}

/** A cut on its way to being known. */
interface Target {
  readonly ranking: number;
  readonly side: keyof RankingCuts;
  /** Upper 16 bits of the cut's key, and the rank among the keys that share them. */
  readonly bin: number;
  readonly rank: number;
}

/** Applies `task` to every part, at most `concurrency` at a time; results in the parts' order. */
export async function eachPart<T>(
  parts: readonly PartSource[],
  concurrency: number,
  task: (part: PartSource) => Promise<T>,
): Promise<T[]> {
  const limit = pLimit(concurrency);
  try {
    return await Promise.all(parts.map((part) => limit(task, part)));
  } catch (error) {
    limit.clearQueue();
    throw error;
  }
}

/** Cuts of one group of parts (a shard, or the data set) ranked together, the parts in global order. */
export async function cutGroup(
  parts: readonly PartSource[],
  plan: Plan,
  method: string,
  concurrency: number,
): Promise<GroupCuts> {
  const bounds: readonly Ranking['bounds'][] =
    plan.unit === 'token' ? plan.rankings.map((ranking) => ranking.bounds) : [plan.bounds];
  if (bounds.length === 0) return { parts: parts.map(() => []) };

  const coarse = emptySums(bounds.length);
  let eligible = 0;
  await eachPart(parts, concurrency, async (part) => {
    const summary = await countCoarse(part, plan, method, bounds.length);
    eligible += summary.eligible;
    addCounts(coarse, summary.counts);
  });
  const targets = bounds.flatMap((rule, ranking) =>
    locateTargets(rule, ranking, eligible, coarse[ranking] ?? []),
  );

  const fine = emptySums(targets.length);
  if (targets.length > 0) {
    await eachPart(parts, concurrency, async (part) =>
      addCounts(fine, await countFine(part, plan, method, targets)),
    );
  }
  const cuts = targets.map((target, t): Cut & { readonly inAll: number } => {
    const found = locate(fine[t] ?? [], target.rank);
    const score = scoreOfKey(((target.bin << 16) | found.bin) >>> 0);
    return { score, ties: found.rank, inAll: fine[t]?.[found.bin] ?? 0 };
  });
  return { parts: await shareTies(parts, plan, method, targets, cuts, bounds.length) };
}

const emptySums = (count: number): Float64Array[] =>
  Array.from({ length: count }, () => new Float64Array(COARSE_BINS));

function addCounts(sums: readonly Float64Array[], counts: readonly Uint32Array[]): void {
  counts.forEach((part, c) => {
    const sum = sums[c];
    if (sum === undefined) return;
    for (let bin = 0; bin < part.length; bin++) sum[bin] = (sum[bin] ?? 0) + (part[bin] ?? 0);
  });
}

async function countCoarse(part: PartSource, plan: Plan, method: string, rankings: number): Promise<Summary> {
  const counts = Array.from({ length: rankings }, () => new Uint32Array(COARSE_BINS));
  let eligible = 0;
  for await (const elements of elementsOf(part, plan, method, 'rankings')) {
    eligible += countOnes(elements[0]?.eligible ?? NO_FLAGS);
    elements.forEach((chunk, ranking) => {
      const bins = counts[ranking];
      if (bins === undefined) return;
      const bits = bitsOf(chunk.scores);
      for (let i = 0; i < bits.length; i++) {
        const pattern = bits[i] ?? 0;
        if (chunk.eligible[i] === 0 || pattern === NEVER_BITS) continue;
        const bin = keyOfBits(pattern) >>> 16;
        bins[bin] = (bins[bin] ?? 0) + 1;
      }
    });
  }
  return { eligible, counts };
}

function locateTargets(
  rule: Ranking['bounds'],
  ranking: number,
  eligible: number,
  coarse: ArrayLike<number>,
): Target[] {
  let candidates = 0;
  for (let bin = 0; bin < coarse.length; bin++) candidates += coarse[bin] ?? 0;
  const [from, to] = boundsOf(rule, eligible, candidates);
  const sides = [
    ['from', from],
    ['to', to],
  ] as const;
  return sides
    .filter(([, rank]) => rank > 0)
    .map(([side, rank]) => ({ ranking, side, ...locate(coarse, rank) }));
}

async function countFine(
  part: PartSource,
  plan: Plan,
  method: string,
  targets: readonly Target[],
): Promise<Uint32Array[]> {
  const counts = targets.map(() => new Uint32Array(COARSE_BINS));
  for await (const elements of elementsOf(part, plan, method, 'rankings')) {
    targets.forEach(({ ranking, bin }, t) => {
      const chunk = elements[ranking];
      const bins = counts[t];
      if (chunk === undefined || bins === undefined) return;
      const bits = bitsOf(chunk.scores);
      for (let i = 0; i < bits.length; i++) {
        const pattern = bits[i] ?? 0;
        if (chunk.eligible[i] === 0 || pattern === NEVER_BITS) continue;
        const key = keyOfBits(pattern);
        if (key >>> 16 !== bin) continue;
        const low = key & 0xffff;
        bins[low] = (bins[low] ?? 0) + 1;
      }
    });
  }
  return counts;
}

/**
 * Gives each part its share of the ties at every cut, earlier parts first. A part is read for it only while
 * some ties of a cut are kept and others not; where all are kept, every part keeps its own.
 */
async function shareTies(
  parts: readonly PartSource[],
  plan: Plan,
  method: string,
  targets: readonly Target[],
  cuts: readonly (Cut & { readonly inAll: number })[],
  rankings: number,
): Promise<RankingCuts[][]> {
  const left = cuts.map((cut) => cut.ties);
  const shared: RankingCuts[][] = [];
  for (const part of parts) {
    const split = cuts.some((cut, t) => cut.ties < cut.inAll && (left[t] ?? 0) > 0);
    const found = split ? await countEqual(part, plan, method, targets, cuts) : null;
    const own = Array.from({ length: rankings }, () => ({ from: NOTHING, to: NOTHING }));
    targets.forEach(({ ranking, side }, t) => {
      const cut = cuts[t] ?? { ...NOTHING, inAll: 0 };
      const ties = cut.ties === cut.inAll ? cut.ties : Math.min(left[t] ?? 0, found?.[t] ?? 0);
      if (cut.ties !== cut.inAll) left[t] = (left[t] ?? 0) - ties;
      const cutsOfRanking = own[ranking];
      if (cutsOfRanking !== undefined) cutsOfRanking[side] = { score: cut.score, ties };
    });
    shared.push(own);
  }
  return shared;
}

async function countEqual(
  part: PartSource,
  plan: Plan,
  method: string,
  targets: readonly Target[],
  cuts: readonly Cut[],
): Promise<number[]> {
  const counts = targets.map(() => 0);
  for await (const elements of elementsOf(part, plan, method, 'rankings')) {
    targets.forEach(({ ranking }, t) => {
      const chunk = elements[ranking];
      const score = cuts[t]?.score;
      if (chunk === undefined) return;
      let equal = 0;
      for (let i = 0; i < chunk.scores.length; i++) {
        if (chunk.scores[i] === score && chunk.eligible[i] === 1) equal++;
      }
      counts[t] = (counts[t] ?? 0) + equal;
    });
  }
  return counts;
}
