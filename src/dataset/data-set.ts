/** Opening a data set: finished parts of one recipe in one folder, found from what a command was given. */
import { usageError } from '../errors.js';
import { absolutePath, folderOf, joinPath, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { type FinishedPart, readParts } from './finished-parts.js';
import { MANIFEST_SUFFIX, type Manifest, readManifest } from './manifest.js';
import { partFiles, placeOfManifest } from './part-files.js';
import { openPart } from './part-source.js';
import { type Recipe, readRecipe } from './recipe.js';
import type { TokenColumn } from './sequence-batch.js';

export type DataSetKind = Manifest['kind'];

export interface DataSetPart extends FinishedPart {
  /** The part's sequence file. */
  readonly file: string;
  readonly rows: number;
  readonly tokens: number;
}

/** Finished parts of one recipe: every manifest read, no tokens yet. */
export interface DataSet {
  /** As it was named. */
  readonly name: string;
  /** Of the parts. */
  readonly folder: string;
  /** The output folder that it is part of, where the run's notes lie; its own folder where it is part of none. */
  readonly run: string;
  readonly kind: DataSetKind;
  /** Whether losses were computed elsewhere and imported. */
  readonly isImported: boolean;
  readonly recipe: Recipe;
  /** In global order: by shard name (code units), then by part. */
  readonly parts: readonly DataSetPart[];
  /** Of the parts, which all have its recipe and its columns. */
  readonly first: DataSetPart;
  /** Sequence files without a manifest: of parts that a run was stopped in, or is making now. */
  readonly unfinished: readonly string[];
}

/** Which of a run's folders is taken by whoever reads the run: what was made last says most. */
export const NEWEST_FIRST = ['weighted', 'scored', 'packed'] as const satisfies readonly DataSetKind[];

/** How a command finds its data set. */
export interface OpenRules {
  /**
   * Which of a run's folders are taken, the first that has parts; one that is named itself always is. With none, a run's folder
   * will do where it holds one data set.
   */
  readonly prefer: readonly DataSetKind[];
  /** Not taken where another of a run's folders has parts: an import's own output. */
  readonly except?: string;
  /** Whether a folder of some of the parts will do, or one above the data set, where there is one in it. */
  readonly around?: boolean;
  /** The error where there are no parts: its code, and what should be named. */
  readonly nothing: { readonly code: string; readonly advice: string };
}

/**
 * Opens the data set that a folder is or holds. The folder of a run has one for each kind of parts, in scored/, weighted/
 * and packed/.
 * @param name a run's output folder, or a folder of parts
 * @throws TokensieveError (usage) of `rules.nothing`; `several-data-sets`; `bad-recipe`; and as `readParts` throws
 */
export async function openDataSet(storage: Storage, name: string, rules: OpenRules): Promise<DataSet> {
  const { folder, listed } = await findFolder(storage, name, rules);
  const parts = (await readParts(storage, folder, listed.filter(isManifest))).map(dataSetPart);
  const [first] = parts;
  if (first === undefined) throw nothingIn(name, rules);
  const { kind } = first.manifest;
  const recipe = recipeOf(first);
  const finished = new Set(listed.filter(isManifest));
  return {
    name,
    folder,
    run: runOf(name, folder),
    kind,
    isImported: recipe.rows.import !== undefined,
    recipe,
    parts,
    first,
    unfinished: listed.filter((path) => SEQUENCES.test(path) && !finished.has(manifestBeside(path))),
  };
}

/** Whether a run was named and one of its folders was taken. */
export const isOfRun = ({ name, folder }: Pick<DataSet, 'name' | 'folder'>): boolean =>
  absolutePath(folderOf(absolutePath(folder))) === absolutePath(name);

/** The recipe of a part, which is that of its data set. @throws TokensieveError (usage) `bad-recipe` */
export function recipeOf({ manifest, folder }: FinishedPart): Recipe {
  const recipe = readRecipe(manifest.recipe);
  if (!('problem' in recipe)) return recipe;
  throw usageError(
    'bad-recipe',
    `${partFiles(folder, manifest.shard, manifest.part).manifest}: does not tell how its part was made (${recipe.problem}); make the part again`,
  );
}

/** The token columns of the parts' files, by the first one's footer. @throws TokensieveError as `openPart` throws */
export const columnsOf = async (
  storage: Storage,
  { first }: Pick<DataSet, 'first'>,
): Promise<readonly TokenColumn[]> => (await openPart(storage, first)).columns;

const SEQUENCES = /\/\d{5,15}\.arrow$/;
const isManifest = (path: string): boolean => path.endsWith(MANIFEST_SUFFIX);
const manifestBeside = (sequences: string): string => sequences.replace(/\.arrow$/, MANIFEST_SUFFIX);

function dataSetPart({ manifest, folder }: FinishedPart): DataSetPart {
  const { shard, part, counts } = manifest;
  const file = partFiles(folder, shard, part).sequences;
  return { manifest, folder, file, rows: counts.sequences, tokens: counts.tokens };
}

/** The folders of a run are named by the kind of their parts. */
const RUN_FOLDERS: readonly string[] = ['scored', 'weighted', 'packed'] satisfies readonly DataSetKind[];

function runOf(name: string, folder: string): string {
  const absolute = absolutePath(folder);
  const above = folderOf(absolute);
  if (above === absolutePath(name)) return name;
  return RUN_FOLDERS.includes(nameOf(absolute)) ? above : folder;
}

interface Found {
  readonly folder: string;
  /** All files below it, or below the part of it that was named. */
  readonly listed: readonly string[];
}

async function findFolder(storage: Storage, name: string, rules: OpenRules): Promise<Found> {
  const { prefer, except, around = false } = rules;
  const list = async (folder: string): Promise<Found> => ({ folder, listed: await storage.list(folder) });
  let own: Found | null = null;
  for (const kind of prefer) {
    const found = await list(joinPath(name, kind));
    if (!found.listed.some(isManifest)) continue;
    const isExcepted = except !== undefined && absolutePath(found.folder) === absolutePath(except);
    if (!isExcepted) return found;
    own = found;
  }
  if (own !== null) return own;
  const named = await list(name);
  const manifests = named.listed.filter(isManifest);
  if (manifests.length === 0) throw nothingIn(name, rules);
  return around ? { ...named, folder: await onlyFolder(storage, name, manifests) } : named;
}

function nothingIn(name: string, { prefer, nothing }: OpenRules): Error {
  const last = prefer.at(-1);
  const others = prefer.slice(0, -1).map((kind) => `in ${kind}/`);
  const where = last === undefined ? '' : ` ${['here', ...others].join(', ')} or in ${last}/`;
  return usageError(
    nothing.code,
    `${name}: no finished parts (*${MANIFEST_SUFFIX})${where}; ${nothing.advice}`,
  );
}

/** The one folder whose parts these are. A part's manifest tells how far above it that folder is. */
async function onlyFolder(storage: Storage, name: string, manifests: readonly string[]): Promise<string> {
  const folders: string[] = [];
  const isKnown = (manifest: string): boolean => folders.some((folder) => manifest.startsWith(`${folder}/`));
  for (const manifest of manifests) {
    if (!isKnown(manifest)) folders.push(await folderOfManifest(storage, manifest));
  }
  const [only = name, ...more] = folders;
  if (more.length === 0) return only;
  throw usageError(
    'several-data-sets',
    `${name}: holds ${folders.length} data sets; name one: ${folders.slice(0, 4).join(', ')}`,
  );
}

async function folderOfManifest(storage: Storage, path: string): Promise<string> {
  const { shard, part } = await readManifest(storage, path);
  const suffix = partFiles('/', shard, part).manifest;
  const folder = path.endsWith(suffix) ? path.slice(0, -suffix.length) : null;
  if (folder !== null && placeOfManifest(folder, path) !== null) return folder;
  throw usageError(
    'misplaced-part',
    `${path}: says that it is part ${part} of ${shard}, which lies elsewhere; name a folder that tokensieve wrote, as it wrote it`,
  );
}
