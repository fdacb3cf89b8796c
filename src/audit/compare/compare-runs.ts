import type { TokenSpan } from '../../dataset/align.js';
import { documentsOf } from '../../dataset/documents-beside.js';
import { type DomainAxis, domainAxes, NO_DOMAIN } from '../../dataset/domains.js';
import { type FinishedPart, openDocuments } from '../../dataset/finished-parts.js';
import { usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { Comparison } from './comparison-report.js';
import { type ComparedPart, createComparison, createCuts } from './comparison-tally.js';
import { checkTokenizers, openRun, type SharedPart, sharedParts, sharedTokens } from './runs.js';
import { type Speller, spelled } from './sample.js';

export interface CompareRunsOptions {
  /** Class of a token's own text (word, number, math, …), to group by. */
  readonly classOf?: (id: number) => string;
  /** Kept columns of the documents files, or keys within one, to group by (`domainAxes`); null or absent: those found. */
  readonly by?: readonly string[] | null;
  readonly seed?: number;
  /** Examples of each direction, 10 unless given. */
  readonly examples?: number;
  readonly signal?: AbortSignal;
}

/** Parts of one run only that are named in the report. */
const MOST_NAMED = 100;

/**
 * Two runs over the same tokens: what both keep, what one of them keeps, how far losses differ, and where. Weighted
 * files are read where a run has them, else scored ones, which are compared by their losses alone.
 *
 * Streams both runs; where both have weights and excess each part is read twice, first to find where its selection
 * cuts. Memory is one record batch a run, a part's documents by group, and counters by group.
 * @param a output folder, or folder of scored or weighted parts, of the first run · @param b of the other
 * @throws TokensieveError (usage) `no-parts`; `not-comparable` where the runs have no part in common or hold other
 *   tokens; (input) `infinite-loss`, and as damaged files throw
 */
export async function compareRuns(
  storage: Storage,
  a: string,
  b: string,
  options: CompareRunsOptions = {},
): Promise<Comparison> {
  const runs = [await openRun(storage, a, 'weighted'), await openRun(storage, b, 'weighted')] as const;
  checkTokenizers(runs);
  const { shared, others } = sharedParts(runs);
  if (shared.length === 0) {
    throw usageError(
      'not-comparable',
      `${a} and ${b} have no part in common; give two runs over the same shards, scored with the same part size`,
    );
  }
  const axes = await axesOf(storage, shared, options.by ?? null);
  const comparison = createComparison({
    ...(options.classOf !== undefined && { classOf: options.classOf }),
    axes,
    seed: options.seed ?? 0,
    examples: options.examples ?? 10,
  });
  for (const part of shared) {
    const cuts = createCuts();
    if (await selects(storage, part)) {
      for await (const spans of pairs(storage, part, options.signal)) cuts.add(spans);
    }
    const groupsOf = await documentGroups(storage, part.parts, axes);
    const known = { place: part, cuts: cuts.result(), groupsOf };
    for await (const spans of pairs(storage, part, options.signal)) comparison.add(known, spans);
  }
  const only = (run: number) => ({
    total: others[run]?.length ?? 0,
    names: others[run]?.slice(0, MOST_NAMED) ?? [],
  });
  return {
    names: [a, b],
    parts: shared.length,
    only_in_a: only(0),
    only_in_b: only(1),
    ...comparison.result(),
  };
}

/** The report with the text of its examples. */
export const spellComparison = (comparison: Comparison, texts: Speller): Comparison => ({
  ...comparison,
  examples: comparison.examples.map((example) => spelled(example, texts)),
});

async function* pairs(
  storage: Storage,
  part: SharedPart,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly [TokenSpan, TokenSpan]> {
  for await (const [a, b] of sharedTokens(storage, part, signal)) {
    if (a !== undefined && b !== undefined) yield [a, b];
  }
}

/** Whether both runs have weights and excess in this part, so that there is a cut to find. */
async function selects(storage: Storage, part: SharedPart): Promise<boolean> {
  const first = await pairs(storage, part, undefined).next();
  if (first.done === true) return false;
  return first.value.every(
    ({ columns: { weight, current_loss: current, reference_loss: reference } }) =>
      weight !== undefined && current !== undefined && reference !== undefined,
  );
}

/** The axes by which documents are grouped, from the first documents file there is; none without one. */
async function axesOf(
  storage: Storage,
  shared: readonly SharedPart[],
  by: readonly string[] | null,
): Promise<readonly DomainAxis[]> {
  for (const { parts } of shared) {
    for (const part of parts) {
      const owner = await documentsOf(storage, part);
      if (owner !== null) return domainAxes((await openDocuments(storage, owner)).keep, by);
    }
  }
  return [];
}

/** For each axis a function from document to group, from the documents file of either run; without one, no group. */
async function documentGroups(
  storage: Storage,
  parts: readonly FinishedPart[],
  axes: readonly DomainAxis[],
): Promise<ComparedPart['groupsOf']> {
  if (axes.length === 0) return [];
  for (const part of parts) {
    const owner = await documentsOf(storage, part);
    if (owner === null) continue;
    const groups = axes.map(() => new Map<bigint, string>());
    const interned = new Map<string, string>(); // a part has many documents of few hosts
    for await (const batch of (await openDocuments(storage, owner)).batches()) {
      for (const { row, columns } of batch) {
        for (const [i, axis] of axes.entries()) {
          const name = axis.nameOf(columns);
          const same = interned.get(name) ?? name;
          interned.set(same, same);
          groups[i]?.set(BigInt(row), same);
        }
      }
    }
    return groups.map((names) => (document: bigint) => names.get(document) ?? NO_DOMAIN);
  }
  return axes.map(() => () => NO_DOMAIN);
}
