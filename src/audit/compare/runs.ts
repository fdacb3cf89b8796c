/** Runs laid side by side: their parts, and the tokens of the parts that all of them have. */
import { alignRows, type NamedFile, type TokenSpan } from '../../dataset/align.js';
import { type FinishedPart, openSequences, readParts } from '../../dataset/finished-parts.js';
import { MANIFEST_SUFFIX, type Manifest } from '../../dataset/manifest.js';
import { type PartPlace, partFiles, scoredFolder, weightedFolder } from '../../dataset/part-files.js';
import { usageError } from '../../errors.js';
import { isJsonObject } from '../../json/canonical-json.js';
import { nameOf as fileName, folderOf } from '../../storage/path.js';
import type { Storage } from '../../storage/storage.js';

/** A run's finished parts, in global order. */
export interface Run {
  /** As it was named. */
  readonly name: string;
  readonly parts: readonly FinishedPart[];
}

/** The same part of every run. */
export interface SharedPart extends PartPlace {
  /** In the order of the runs. */
  readonly parts: readonly FinishedPart[];
}

/**
 * The parts of a run. `run` is an output folder, or the folder of scored or weighted parts itself.
 * @param preferred which of the two is read where an output folder has both
 * @throws TokensieveError (usage) `no-parts`; and as `readParts` throws
 */
export async function openRun(storage: Storage, run: string, preferred: 'scored' | 'weighted'): Promise<Run> {
  const inside = [weightedFolder(run), scoredFolder(run)];
  if (preferred === 'scored') inside.reverse();
  for (const folder of [...inside, run]) {
    const paths = (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX));
    if (paths.length === 0) continue;
    const parts = await readParts(storage, folder, paths);
    if (parts[0]?.manifest.kind !== 'packed') return { name: run, parts };
    throw usageError(
      'no-parts',
      `${folder}: packed parts have no losses; name a folder that tokensieve score made`,
    );
  }
  throw usageError(
    'no-parts',
    `${run}: no finished parts (*${MANIFEST_SUFFIX}) here, in weighted/ or in scored/; name the --out folder of tokensieve score or select`,
  );
}

const nameOf = ({ shard, part }: PartPlace): string => `${shard} part ${part}`;

/** The parts that all runs have, in global order, and by run the names of those that not all have. */
export function sharedParts(runs: readonly Run[]): {
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
export function checkTokenizers(runs: readonly Run[], expected?: ExpectedTokenizer): void {
  const own = runs.map(({ name, parts: [part] }) => ({ name, hash: part && tokenizerOf(part.manifest) }));
  const first = expected ?? own[0];
  for (const { name, hash } of own) {
    if (first?.hash === undefined || hash === undefined || hash === first.hash) continue;
    throw usageError(
      'not-comparable',
      `${first.name} and ${name} were made with different tokenizers (${first.hash.slice(0, 12)}… and ${hash.slice(0, 12)}…): their ids mean different text; score both with one --tokenizer`,
    );
  }
}

/** Hash of the tokenizer in a scored part's recipe, or in that of the scored part that a weighted one is of. */
function tokenizerOf({ recipe }: Manifest): string | undefined {
  const scored = isJsonObject(recipe['scored']) ? recipe['scored'] : recipe;
  const tokenizer = scored['tokenizer'];
  const hash = isJsonObject(tokenizer) ? tokenizer['hash'] : undefined;
  return typeof hash === 'string' ? hash : undefined;
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

/**
 * The part's documents file: beside it, or with the scored parts that a weighted one was made of. Null where there is
 * none, or where it is of other text.
 */
export async function documentsOf(
  storage: Storage,
  { folder, manifest }: FinishedPart,
): Promise<string | null> {
  const { shard, part, input } = manifest;
  const scored = [
    scoredFolder(folder),
    scoredFolder(folderOf(folder)),
    scoredFolder(folderOf(folderOf(folder))),
  ];
  for (const candidate of [folder, ...scored]) {
    const files = partFiles(candidate, shard, part);
    const folderOfPart = folderOf(files.manifest);
    const present = await storage.list(folderOfPart, { shallow: true });
    const has = (path: string) => present.some((one) => fileName(one) === fileName(path));
    if (!has(files.documents) || !has(files.manifest)) continue;
    const [found] = await readParts(storage, candidate, [files.manifest]);
    if (found?.manifest.input.text_sha256 === input.text_sha256) return files.documents;
  }
  return null;
}
