/**
 * What must be known of the whole data set before any part is weighed, as steps. In a step parts are read, each alone, in
 * any order and wherever it suits; what a reading gives is plain data, small, and adds up in any order and any grouping.
 * So one process, several threads, an array of jobs and a queue's workers come to the same cuts, to the last bit:
 *
 *   let step = firstStep(ranked, parts)                  ranked: the selection
 *   while (step.kind === 'step')
 *     for each part that readsIn(step, part):  readPart(ranked, part, step)     → total, by mergeReadings
 *     step = stepAfter(ranked, parts, step, total)
 *   step.prepared                                         by which every part is weighed, alone
 *
 * `packPlain` (`plain-data.ts`) makes a small file of a step, a reading, or what was prepared.
 */
import { fatalError } from '../errors.js';
import { type Counts, mergeCounts } from './counts.js';
import type { Plan } from './method.js';
import { type PartName, type PartSource, partKey } from './part-source.js';
import {
  countPart,
  cutsOfParts,
  firstPass,
  type GroupCuts,
  type Pass,
  passAfter,
  tiesFromFine,
  tiesUsedUp,
} from './passes.js';
import type { RankingCuts } from './ranking.js';
import { isWide, type Scope } from './scope.js';
import { readTokens } from './tokens.js';

/**
 * What must be known of the whole data set before any part is weighed. Plain data: it may cross to another
 * thread or process (structured clone), and parts may then be weighed there in any order.
 */
export interface Prepared {
  /** Cuts of each part where the scope is wider than a part, by `partKey`; null otherwise. */
  readonly cuts: ReadonlyMap<string, readonly RankingCuts[]> | null;
  /** What the method fitted; undefined where it fits nothing. */
  readonly fitted: unknown;
}

/** As much of a selection as the steps need. */
export interface Ranked {
  readonly method: { readonly name: string };
  readonly plan: Plan;
  readonly scope: Scope;
}

/** What is to be read of the parts next. Plain data. */
export interface Step {
  readonly kind: 'step';
  /** 1 for the first. */
  readonly number: number;
  /** What to count, by group; groups that are known already are left out. */
  readonly passes: ReadonlyMap<string, Pass>;
  /** Groups that are known already. */
  readonly known: ReadonlyMap<string, GroupCuts>;
  /** Whether the method looks at every part, to fit something; and what it fitted in a step before. */
  readonly fits: boolean;
  readonly fitted: unknown;
}

/** What came of one part in a step, or of several together. Plain data. */
export interface Reading {
  readonly counts: ReadonlyMap<string, Counts>;
  /** What the method saw, by part. */
  readonly observed: ReadonlyMap<string, unknown>;
}

/** The last step is done. */
export interface Done {
  readonly kind: 'done';
  readonly prepared: Prepared;
}

const ALL = 'all parts';

/** Name of the group whose parts are ranked together with this one; null where the scope lies within a part. */
const groupOf = ({ scope }: Ranked, { shard }: PartName): string | null =>
  scope.kind === 'shard' ? shard : scope.kind === 'dataset' ? ALL : null;

/** The first step over a data set. @param parts all of them, in global order: it decides ties */
export function firstStep(ranked: Ranked, parts: readonly PartName[]): Step | Done {
  const { plan } = ranked;
  const found = new Map<string, Pass | GroupCuts>();
  for (const part of parts) {
    const group = groupOf(ranked, part);
    if (group !== null) found.set(group, firstPass(plan));
  }
  const fits = plan.unit === 'token' && plan.fit !== undefined;
  return stepOf(ranked, parts, { number: 1, found, fits, fitted: undefined });
}

/** Whether the part is read in this step. */
export function readsIn(ranked: Ranked, step: Step, part: PartName): boolean {
  const group = groupOf(ranked, part);
  return step.fits || (group !== null && step.passes.has(group));
}

/**
 * Whether a reading of the part would still change what comes of the step: ties at a cut are kept from the first parts
 * on, and once they are used up no later part need be looked at.
 * @param pending the parts that are read in the step, in global order · @param total their readings so far
 */
export function addsTo(
  ranked: Ranked,
  pending: readonly PartName[],
  step: Step,
  total: Reading,
  part: PartName,
): boolean {
  const group = groupOf(ranked, part);
  const pass = group === null ? undefined : step.passes.get(group);
  const counts = group === null ? undefined : total.counts.get(group);
  if (step.fits || pass?.kind !== 'ties' || counts?.kind !== 'ties') return true;
  const earlier = pending.slice(0, pending.indexOf(part));
  return !tiesUsedUp(
    pass.cuts,
    earlier.filter((other) => groupOf(ranked, other) === group),
    counts.parts,
  );
}

/**
 * Reads one part for a step: once for its group's pass, and once for what the method fits.
 * @throws whatever reading the part throws
 */
export async function readPart(ranked: Ranked, part: PartSource, step: Step): Promise<Reading> {
  const { plan, method } = ranked;
  const counts = new Map<string, Counts>();
  const group = groupOf(ranked, part);
  const pass = group === null ? undefined : step.passes.get(group);
  if (group !== null && pass !== undefined) {
    counts.set(group, await countPart(part, pass, plan, method.name));
  }
  const observed = new Map<string, unknown>();
  if (step.fits && plan.unit === 'token' && plan.fit !== undefined) {
    observed.set(partKey(part), await plan.fit.observe(readTokens(part, plan.columns, method.name)));
  }
  return { counts, observed };
}

/**
 * The reading of a part that its reading of the step before already tells; null where the part must be read. Ties at a cut
 * are among the fine counts.
 */
export function readingFrom(ranked: Ranked, part: PartName, step: Step, before: Reading): Reading | null {
  const group = groupOf(ranked, part);
  const pass = group === null ? undefined : step.passes.get(group);
  const fine = group === null ? undefined : before.counts.get(group);
  if (step.fits || group === null || pass === undefined || fine === undefined) return null;
  const counts = tiesFromFine(part, pass, fine);
  return counts === null ? null : { counts: new Map([[group, counts]]), observed: new Map() };
}

/** Both together: commutative and associative. @throws fatal `counts-differ` when they are not of one step */
export function mergeReadings(a: Reading, b: Reading): Reading {
  const counts = new Map(a.counts);
  for (const [group, own] of b.counts) {
    const before = counts.get(group);
    counts.set(group, before === undefined ? own : mergeCounts(before, own));
  }
  return { counts, observed: new Map([...a.observed, ...b.observed]) };
}

/**
 * The step after `step`, or what was prepared.
 * @param parts all of the data set, in global order
 * @param total of every part that is read in the step
 * @throws fatal `counts-differ`; usage `bad-bounds`; what the method's fit throws
 */
export function stepAfter(
  ranked: Ranked,
  parts: readonly PartName[],
  step: Step,
  total: Reading,
): Step | Done {
  const { plan } = ranked;
  const found = new Map<string, Pass | GroupCuts>(step.known);
  for (const [group, pass] of step.passes) {
    const counts = total.counts.get(group);
    if (counts === undefined) {
      throw fatalError('counts-differ', `nothing was counted of ${group}; expected the counts of its parts`);
    }
    found.set(group, passAfter(pass, counts, plan));
  }
  const fitted =
    step.fits && plan.unit === 'token'
      ? plan.fit?.conclude(parts.map((part) => total.observed.get(partKey(part))))
      : step.fitted;
  return stepOf(ranked, parts, { number: step.number + 1, found, fits: false, fitted });
}

interface Found extends Pick<Step, 'number' | 'fits' | 'fitted'> {
  readonly found: ReadonlyMap<string, Pass | GroupCuts>;
}

function stepOf(
  ranked: Ranked,
  parts: readonly PartName[],
  { number, found, fits, fitted }: Found,
): Step | Done {
  const passes = new Map<string, Pass>();
  const known = new Map<string, GroupCuts>();
  for (const [group, pass] of found) {
    if (pass.kind === 'cuts') known.set(group, pass);
    else passes.set(group, pass);
  }
  if (passes.size > 0 || fits) return { kind: 'step', number, passes, known, fits, fitted };
  return { kind: 'done', prepared: { cuts: cutsByPart(ranked, parts, known), fitted } };
}

function cutsByPart(
  ranked: Ranked,
  parts: readonly PartName[],
  known: ReadonlyMap<string, GroupCuts>,
): Prepared['cuts'] {
  if (!isWide(ranked.scope)) return null;
  const cuts = new Map<string, readonly RankingCuts[]>();
  for (const [group, found] of known) {
    const members = parts.filter((part) => groupOf(ranked, part) === group);
    const own = cutsOfParts(found, members, ranked.plan);
    members.forEach((part, index) => {
      cuts.set(partKey(part), own[index] ?? []);
    });
  }
  return cuts;
}
