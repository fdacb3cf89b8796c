import { z } from 'zod';
import { type FinishedPart, readParts } from '../../dataset/finished-parts.js';
import { MANIFEST_SUFFIX, readManifest } from '../../dataset/manifest.js';
import { partFiles, placeOfManifest } from '../../dataset/part-files.js';
import { readSequences } from '../../dataset/reader.js';
import { LOSS_COLUMNS } from '../../dataset/schema.js';
import type { TokenColumn } from '../../dataset/sequence-batch.js';
import { TokensieveError, usageError } from '../../errors.js';
import { mapAhead } from '../../flow/map-ahead.js';
import type { Storage } from '../../storage/storage.js';
import type { PartSize } from './order.js';

/** Files looked at, not read, at once. */
const STATS_AHEAD = 16;

/** A folder of parts as training sees it: manifests read, one footer, no tokens yet. */
export interface Source {
  /** As it was given. */
  readonly path: string;
  readonly parts: readonly SourcePart[];
  readonly columns: readonly TokenColumn[];
  /** The column that is NaN where a token is no target; `weight`, 0 there, in packed files. */
  readonly targetColumn: TokenColumn;
  readonly rows: number;
  readonly tokens: number;
  readonly targets: number;
  readonly rules: RowRules;
  /** Of stored weights. */
  readonly normaliser: 'sum-of-weights' | 'eligible-tokens';
}

export interface SourcePart extends PartSize, FinishedPart {
  /** The part's sequence file. */
  readonly file: string;
}

/** How text became the rows of a source. */
export interface RowRules {
  readonly tokenizer: {
    readonly hash: string;
    /** Null where none is inserted. */
    readonly bos: number | null;
    readonly eos: number | null;
  };
  /** Ids of the longest row that there may be. */
  readonly length: number;
  readonly attention: 'across' | 'within';
}

const id = z.int().min(0).nullable();
const rowRecipe = z.object({
  tokenizer: z.object({ hash: z.string().min(1), bos_id: id, eos_id: id }),
  sequence: z.object({
    length: z
      .int()
      .min(2)
      .max(1 << 20),
    attention: z.enum(['across', 'within']),
    bos: z.boolean(),
    eos: z.boolean(),
  }),
});
/** A weighted part's recipe holds the scored one's. */
const weightedRecipe = z.object({
  scored: rowRecipe,
  conventions: z.object({ normaliser: z.enum(['sum-of-weights', 'eligible-tokens']).optional() }).default({}),
});

/**
 * Opens a folder of scored, weighted or packed parts; a run's folder will do where it holds one such folder.
 * @throws TokensieveError (usage) `no-parts`; `several-data-sets`; `part-changed` where a file is gone or has not the
 *   bytes of its manifest; `no-rows`, `no-targets`; `not-trainable` where manifests do not tell how rows were made; `bad-manifest`;
 *   and as `readParts` throws
 */
export async function openSource(storage: Storage, path: string): Promise<Source> {
  try {
    const parts = await trainableParts(storage, path);
    const [first] = parts;
    const rows = sum(parts.map((part) => part.rows));
    if (first === undefined || rows === 0) {
      throw usageError('no-rows', `${path}: its parts have no rows; name a folder that has some`);
    }
    const targets = sum(parts.map(({ manifest }) => manifest.counts.eligible ?? 0));
    if (targets === 0) {
      throw usageError(
        'no-targets',
        `${path}: none of its ${rows} rows has a target; there is nothing to learn from`,
      );
    }
    const { columns } = await readSequences(storage, first.file);
    return {
      path,
      parts,
      columns,
      targetColumn: LOSS_COLUMNS.find((name) => columns.includes(name)) ?? 'weight',
      rows,
      tokens: sum(parts.map((part) => part.tokens)),
      targets,
      ...rulesOf(first, path),
    };
  } catch (error) {
    // What is wrong with a file here is wrong with the command: nothing was started.
    if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
    throw usageError(error.code, error.message, { cause: error });
  }
}

async function trainableParts(storage: Storage, path: string): Promise<readonly SourcePart[]> {
  const manifests = (await storage.list(path)).filter((file) => file.endsWith(MANIFEST_SUFFIX));
  const found = await readParts(storage, await dataSetOf(storage, path, manifests), manifests);
  const look = async ({ manifest, folder }: FinishedPart): Promise<SourcePart> => {
    const { shard, part, counts, outputs } = manifest;
    const file = partFiles(folder, shard, part).sequences;
    const expected = outputs.find(({ kind }) => kind === 'sequences')?.bytes;
    const { size } = await storage.stat(file);
    if (size !== expected) {
      throw usageError(
        'part-changed',
        `${file}: has ${size} bytes, its manifest says ${expected}; run tokensieve verify ${path}, then make the part again`,
      );
    }
    return { manifest, folder, file, rows: counts.sequences, tokens: counts.tokens };
  };
  const parts: SourcePart[] = [];
  for await (const part of mapAhead(found, STATS_AHEAD, look)) parts.push(part);
  return parts;
}

/** The one folder whose parts these are. A part's manifest tells how far above it that folder is. */
async function dataSetOf(storage: Storage, path: string, manifests: readonly string[]): Promise<string> {
  const folders: string[] = [];
  const isKnown = (manifest: string): boolean => folders.some((folder) => manifest.startsWith(`${folder}/`));
  for (const manifest of manifests) {
    if (!isKnown(manifest)) folders.push(await folderOf(storage, manifest));
  }
  const [only] = folders;
  if (only === undefined) {
    throw usageError(
      'no-parts',
      `${path}: no finished parts (*${MANIFEST_SUFFIX}); name a folder that tokensieve score, select or pack wrote`,
    );
  }
  if (folders.length === 1) return only;
  throw usageError(
    'several-data-sets',
    `${path}: holds ${folders.length} data sets; name one: ${folders.slice(0, 4).join(', ')}`,
  );
}

async function folderOf(storage: Storage, path: string): Promise<string> {
  const { shard, part } = await readManifest(storage, path);
  const suffix = partFiles('/', shard, part).manifest;
  const folder = path.endsWith(suffix) ? path.slice(0, -suffix.length) : null;
  if (folder !== null && placeOfManifest(folder, path) !== null) return folder;
  throw usageError(
    'misplaced-part',
    `${path}: says that it is part ${part} of ${shard}, which lies elsewhere; name a folder that tokensieve wrote, as it wrote it`,
  );
}

function rulesOf(
  { manifest: { kind, recipe } }: SourcePart,
  path: string,
): Pick<Source, 'rules' | 'normaliser'> {
  const parsed =
    kind === 'weighted' ? weightedRecipe.safeParse(recipe) : weightedRecipe.safeParse({ scored: recipe });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw usageError(
      'not-trainable',
      `${path}: its manifests do not tell how rows were made (recipe.${issue?.path.join('.')}: ${issue?.message}); score or pack the corpus again`,
    );
  }
  const { scored, conventions } = parsed.data;
  const { tokenizer, sequence } = scored;
  return {
    rules: {
      tokenizer: {
        hash: tokenizer.hash,
        bos: sequence.bos ? tokenizer.bos_id : null,
        eos: sequence.eos ? tokenizer.eos_id : null,
      },
      length: sequence.length,
      attention: sequence.attention,
    },
    normaliser: conventions.normaliser ?? 'sum-of-weights',
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
