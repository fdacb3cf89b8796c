/** Runs laid side by side: their parts, and the tokens of the parts that all of them have. */
import { alignRows, type NamedFile, type TokenSpan } from '../../dataset/align.js';
import { type DataSet, openDataSet } from '../../dataset/data-set.js';
import { type FinishedPart, openSequences } from '../../dataset/finished-parts.js';
import { type PartPlace, partFiles } from '../../dataset/part-files.js';
import { usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';

/** The same part of every run. */
export interface SharedPart extends PartPlace {
  /** In the order of the runs. */
  readonly parts: readonly FinishedPart[];
}

/**
 * A run's data set with losses.
 * @param run an output folder, or the folder of scored or weighted parts itself
 * @param preferred which of the two is read where an output folder has both
 * @throws TokensieveError (usage) `no-parts`; and as `openDataSet` throws
 */
export async function openRun(
  storage: Storage,
  run: string,
  preferred: 'scored' | 'weighted',
): Promise<DataSet> {
  const set = await openDataSet(storage, run, {
    prefer: preferred === 'scored' ? ['scored', 'weighted'] : ['weighted', 'scored'],
    nothing: { code: 'no-parts', advice: 'name the --out folder of tokensieve score or select' },
  });
  if (set.kind !== 'packed') return set;
  throw usageError(
    'no-parts',
    `${set.folder}: packed parts have no losses; name a folder that tokensieve score made`,
  );
}

const nameOf = ({ shard, part }: PartPlace): string => `${shard} part ${part}`;

/** The parts that all runs have, in global order, and by run the names of those that not all have. */
export function sharedParts(runs: readonly DataSet[]): {
  readonly shared: readonly SharedPart[];
  readonly others: readonly (readonly string[])[];
} {
  const byName = runs.map(({ parts }) => new Map(parts.map((part) => [nameOf(part.manifest), part])));
  const shared: SharedPart[] = [];
  const [first] = runs;
  for (const { manifest } of first?.parts ?? []) {
    const parts = byName.flatMap((one) => one.get(nameOf(manifest)) ?? []);
    if (parts.length === runs.length) shared.push({ shard: manifest.shard, part: manifest.part, parts });
  }
  const common = new Set(shared.map(nameOf));
  return { shared, others: byName.map((one) => [...one.keys()].filter((name) => !common.has(name))) };
}

/** The tokenizer that ids are spelled out with. */
export interface ExpectedTokenizer {
  /** Of the run that it belongs to. */
  readonly name: string;
  readonly hash: string;
}

/**
 * Says in one line, before any token is read, that two runs' ids are not of one tokenizer.
 * @param expected whose tokenizer they should be of; that of the first run unless given
 * @throws TokensieveError (usage) `not-comparable`
 */
export function checkTokenizers(runs: readonly DataSet[], expected?: ExpectedTokenizer): void {
  const own = runs.map(({ name, recipe }) => ({ name, hash: recipe.rows.tokenizer.hash }));
  const first = expected ?? own[0];
  for (const { name, hash } of own) {
    if (first?.hash === undefined || hash === undefined || hash === first.hash) continue;
    throw usageError(
      'not-comparable',
      `${first.name} and ${name} were made with different tokenizers (${first.hash.slice(0, 12)}… and ${hash.slice(0, 12)}…): their ids mean different text; score both with one --tokenizer`,
    );
  }
}

/** The part's tokens in every run, side by side. Errors are those of `alignRows` and `openSequences`. */
export async function* sharedTokens(
  storage: Storage,
  { parts }: SharedPart,
  signal?: AbortSignal,
): AsyncGenerator<readonly TokenSpan[]> {
  const files: NamedFile[] = [];
  for (const part of parts) {
    const path = partFiles(part.folder, part.manifest.shard, part.manifest.part).sequences;
    files.push({ path, file: await openSequences(storage, part) });
  }
  const [first, ...rest] = files;
  if (first === undefined) return;
  for await (const spans of alignRows(first, ...rest)) {
    signal?.throwIfAborted();
    yield spans;
  }
}
