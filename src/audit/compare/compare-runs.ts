import type { TokenSpan } from '../../dataset/align.js';
import { readDocuments } from '../../dataset/documents.js';
import type { FinishedPart } from '../../dataset/finished-parts.js';
import { usageError } from '../../errors.js';
import { domainOf, NO_DOMAIN, URL_COLUMN } from '../../evaluate/domains.js';
import type { Storage } from '../../storage/storage.js';
import type { Comparison } from './comparison-report.js';
import { type ComparedPart, createComparison, createCuts, type GroupColumn } from './comparison-tally.js';
import { checkTokenizers, documentsOf, openRun, type SharedPart, sharedParts, sharedTokens } from './runs.js';
import { spelled } from './sample.js';

export interface CompareRunsOptions {
  /** Class of a token's own text (word, number, math, …), to group by. */
  readonly classOf?: (id: number) => string;
  /** Kept columns of the documents files to group by; `url` is grouped by host. Default: `url`. */
  readonly by?: readonly string[];
  readonly seed?: number;
  /** Examples of each direction, 12 unless given. */
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
  const by = options.by ?? [URL_COLUMN];
  const columns = by.map(
    (name): GroupColumn =>
      name === URL_COLUMN ? { by: 'host', label: 'host of the url' } : { by: name, label: name },
  );
  const comparison = createComparison({
    ...(options.classOf !== undefined && { classOf: options.classOf }),
    columns,
    seed: options.seed ?? 0,
    examples: options.examples ?? 12,
  });
  for (const part of shared) {
    const cuts = createCuts();
    if (await selects(storage, part)) {
      for await (const spans of pairs(storage, part, options.signal)) cuts.add(spans);
    }
    const valuesBy = await documentValues(storage, part.parts, by);
    const known = { place: part, cuts: cuts.result(), ...(valuesBy != null && { valuesBy }) };
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
export const spellComparison = (
  comparison: Comparison,
  decode: (ids: readonly number[]) => string,
): Comparison => ({
  ...comparison,
  examples: comparison.examples.map((example) => spelled(example, decode)),
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

/** For each column a function from document to value, from the documents file of either run; null without one. */
async function documentValues(
  storage: Storage,
  parts: readonly FinishedPart[],
  by: readonly string[],
): Promise<ComparedPart['valuesBy'] | null> {
  if (by.length === 0) return null;
  for (const part of parts) {
    const path = await documentsOf(storage, part);
    if (path === null) continue;
    const documents = await readDocuments(storage, path);
    if (!by.some((name) => documents.keep.includes(name))) continue;
    const values = by.map(() => new Map<bigint, string>());
    const interned = new Map<string, string>(); // a part has many documents of few hosts
    for await (const batch of documents.batches()) {
      for (const { row, columns } of batch) {
        for (const [c, name] of by.entries()) {
          const value = domainOf(columns, name === URL_COLUMN ? undefined : name);
          const same = interned.get(value) ?? value;
          interned.set(same, same);
          values[c]?.set(BigInt(row), same);
        }
      }
    }
    return values.map((column, c) =>
      documents.keep.includes(by[c] ?? '') ? (document: bigint) => column.get(document) ?? NO_DOMAIN : null,
    );
  }
  return null;
}
