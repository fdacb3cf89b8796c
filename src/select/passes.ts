/**
 * Exact cuts of a scope that is wider than a part, in memory that does not grow with it. Every pass is a pure function of a
 * part whose result is plain data; results add up in any order and any grouping (`mergeCounts`), so parts may be read at
 * once, by other processes, or on other machines:
 *
 *   let step = firstPass(plan)                                     one pass after another over the parts of a group
 *   while (step is a Pass)
 *     step = passAfter(step, mergeCounts(… countPart(part, step) …), plan)
 *   cutsOfParts(step, parts)                                       each part's own cuts, by which it is weighed alone
 *
 *   coarse  counts of the upper 16 bits of the score keys        → the bin in which each cut falls
 *   fine    counts of the lower 16 bits within those bins        → the score at each cut, and the ties there
 *   ties    scores of each part that equal a cut; only where some ties of a cut are kept and others not
 *
 * A group is what is ranked together: the parts of a shard, or all.
 */
import { fatalError } from '../errors.js';
import type { Counts } from './counts.js';
import { elementsOf } from './elements.js';
import type { Plan, Ranking } from './method.js';
import { type PartName, type PartSource, partKey } from './part-source.js';
import { COARSE_BINS, keyOfSigned, locate, NOTHING, scoreOfKey, signedBitsOf } from './radix.js';
import { boundsOf, countOnes, NEVER_BITS, NO_FLAGS, type RankingCuts, type Scored } from './ranking.js';

/** A cut on its way to being known. */
export interface Target {
  readonly ranking: number;
  readonly side: keyof RankingCuts;
  /** Upper 16 bits of the cut's key, and the rank among the keys that share them. */
  readonly bin: number;
  readonly rank: number;
}

/** A cut of the whole group. */
export interface GroupCut {
  readonly ranking: number;
  readonly side: keyof RankingCuts;
  /** Key of the score at the cut (`radix.ts`). */
  readonly key: number;
  /** How many of the scores that equal it are above the cut, and how many there are. */
  readonly ties: number;
  readonly inAll: number;
}

/** What is to be counted of every part. Plain data, JSON too. */
export type Pass =
  | { readonly kind: 'coarse' }
  | { readonly kind: 'fine'; readonly targets: readonly Target[] }
  | { readonly kind: 'ties'; readonly cuts: readonly GroupCut[] };

/** The end of the passes: nothing more is to be counted. Plain data. */
export interface GroupCuts {
  readonly kind: 'cuts';
  readonly cuts: readonly GroupCut[];
  /** Scores that equal each cut, by part; empty where no cut splits its ties. */
  readonly ties: ReadonlyMap<string, readonly number[]>;
}

const NEVER_SIGNED = NEVER_BITS | 0;
const NOTHING_SCORED: Scored = { scores: new Float32Array(0), eligible: NO_FLAGS };

/** What the method ranks: one entry a ranking, or the one of whole units. */
const boundsIn = (plan: Plan): readonly Ranking['bounds'][] =>
  plan.unit === 'token' ? plan.rankings.map((ranking) => ranking.bounds) : [plan.bounds];

/** The first pass over a group. */
export const firstPass = (plan: Plan): Pass | GroupCuts =>
  boundsIn(plan).length > 0 ? { kind: 'coarse' } : { kind: 'cuts', cuts: [], ties: new Map() };

/**
 * Reads one part. The same part gives the same counts, however it is cut into batches.
 * @throws whatever reading the part and scoring its tokens throw
 */
export async function countPart(part: PartSource, pass: Pass, plan: Plan, method: string): Promise<Counts> {
  switch (pass.kind) {
    case 'coarse':
      return countCoarse(part, plan, method);
    case 'fine':
      return countFine(part, plan, method, pass.targets);
    case 'ties':
      return countTies(part, plan, method, pass.cuts);
  }
}

/**
 * What comes after a pass.
 * @param total the counts of every part of the group
 * @throws fatal `counts-differ`; usage `bad-bounds`
 */
export function passAfter(pass: Pass, total: Counts, plan: Plan): Pass | GroupCuts {
  if (pass.kind === 'coarse' && total.kind === 'coarse') {
    const targets = boundsIn(plan).flatMap((bounds, ranking) =>
      locateTargets(bounds, ranking, total.eligible, total.bins[ranking] ?? []),
    );
    return targets.length > 0 ? { kind: 'fine', targets } : { kind: 'cuts', cuts: [], ties: new Map() };
  }
  if (pass.kind === 'fine' && total.kind === 'fine') {
    const cuts = pass.targets.map(({ ranking, side, bin, rank }, t): GroupCut => {
      const counts = total.bins[t] ?? [];
      const found = locate(counts, rank);
      const key = ((bin << 16) | found.bin) >>> 0;
      return { ranking, side, key, ties: found.rank, inAll: counts[found.bin] ?? 0 };
    });
    return cuts.some(isSplit) ? { kind: 'ties', cuts } : { kind: 'cuts', cuts, ties: new Map() };
  }
  if (pass.kind === 'ties' && total.kind === 'ties') {
    return { kind: 'cuts', cuts: pass.cuts, ties: total.parts };
  }
  throw fatalError(
    'counts-differ',
    `counts of pass ${total.kind} were given for pass ${pass.kind}; expected those of the same pass`,
  );
}

const isSplit = ({ ties, inAll }: GroupCut): boolean => ties < inAll;

/** Whether these parts, the first ones of a group, already have every tie that is kept: later ones have none to keep. */
export const tiesUsedUp = (
  cuts: readonly GroupCut[],
  first: readonly PartName[],
  ties: ReadonlyMap<string, readonly number[]>,
): boolean =>
  cuts.every(
    (cut, c) =>
      !isSplit(cut) || first.reduce((sum, part) => sum + (ties.get(partKey(part))?.[c] ?? 0), 0) >= cut.ties,
  );

/**
 * Each part's own cuts, with its share of the ties, earlier parts first: one entry a part, each one entry a ranking. A part
 * whose ties were not counted has none to keep, or keeps all that it has.
 * @param parts of the group, in global order
 */
export function cutsOfParts(found: GroupCuts, parts: readonly PartName[], plan: Plan): RankingCuts[][] {
  const rankings = boundsIn(plan).length;
  const left = found.cuts.map((cut) => cut.ties);
  return parts.map((part) => {
    const own = Array.from({ length: rankings }, () => ({ from: NOTHING, to: NOTHING }));
    const equal = found.ties.get(partKey(part));
    found.cuts.forEach((cut, c) => {
      const ties = isSplit(cut) ? Math.min(left[c] ?? 0, equal?.[c] ?? 0) : cut.ties;
      if (isSplit(cut)) left[c] = (left[c] ?? 0) - ties;
      const ofRanking = own[cut.ranking];
      if (ofRanking !== undefined) ofRanking[cut.side] = { score: scoreOfKey(cut.key), ties };
    });
    return own;
  });
}

async function countCoarse(part: PartSource, plan: Plan, method: string): Promise<Counts> {
  const bins = boundsIn(plan).map(() => new Uint32Array(COARSE_BINS));
  let eligible = 0;
  for await (const elements of elementsOf(part, plan, method, 'rankings')) {
    eligible += countOnes(elements[0]?.eligible ?? NO_FLAGS);
    for (const [ranking, own] of bins.entries()) addCoarse(elements[ranking] ?? NOTHING_SCORED, own);
  }
  return { kind: 'coarse', eligible, bins };
}

function addCoarse({ scores, eligible }: Scored, bins: Uint32Array): void {
  const bits = signedBitsOf(scores);
  for (let i = 0; i < bits.length; i++) {
    const pattern = bits[i] as number;
    if (eligible[i] === 0 || pattern === NEVER_SIGNED) continue;
    const bin = keyOfSigned(pattern) >>> 16;
    bins[bin] = (bins[bin] as number) + 1;
  }
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
): Promise<Counts> {
  const bins = targets.map(() => new Uint32Array(COARSE_BINS));
  for await (const elements of elementsOf(part, plan, method, 'rankings')) {
    for (const [t, own] of bins.entries()) {
      const target = targets[t];
      if (target !== undefined) addFine(elements[target.ranking] ?? NOTHING_SCORED, target.bin, own);
    }
  }
  return { kind: 'fine', bins };
}

function addFine({ scores, eligible }: Scored, bin: number, bins: Uint32Array): void {
  const bits = signedBitsOf(scores);
  for (let i = 0; i < bits.length; i++) {
    const pattern = bits[i] as number;
    const key = keyOfSigned(pattern);
    if (key >>> 16 !== bin || eligible[i] === 0 || pattern === NEVER_SIGNED) continue;
    const low = key & 0xffff;
    bins[low] = (bins[low] as number) + 1;
  }
}

async function countTies(
  part: PartSource,
  plan: Plan,
  method: string,
  cuts: readonly GroupCut[],
): Promise<Counts> {
  const counts = cuts.map(() => 0);
  for await (const elements of elementsOf(part, plan, method, 'rankings')) {
    for (const [c, { ranking, key }] of cuts.entries()) {
      counts[c] = (counts[c] ?? 0) + countEqual(elements[ranking] ?? NOTHING_SCORED, scoreOfKey(key));
    }
  }
  return { kind: 'ties', parts: new Map([[partKey(part), counts]]) };
}

function countEqual({ scores, eligible }: Scored, score: number): number {
  let equal = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i] === score && eligible[i] === 1) equal++;
  return equal;
}

/** The ties of a part from its counts of the fine pass: the part need not be read again. Null where they are of another pass. */
export function tiesFromFine(part: PartName, pass: Pass, fine: Counts): Counts | null {
  if (pass.kind !== 'ties' || fine.kind !== 'fine' || fine.bins.length !== pass.cuts.length) return null;
  const counts = pass.cuts.map(({ key }, c) => fine.bins[c]?.[key & 0xffff] ?? 0);
  return { kind: 'ties', parts: new Map([[partKey(part), counts]]) };
}
