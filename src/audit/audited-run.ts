import { type DataSet, openDataSet } from '../dataset/data-set.js';
import type { DocumentFile } from '../dataset/documents.js';
import { documentsIn } from '../dataset/documents-beside.js';
import { type FinishedPart, openDocuments, readParts } from '../dataset/finished-parts.js';
import { explainDifference, MANIFEST_SUFFIX } from '../dataset/manifest.js';
import { partFiles, scoredFolder } from '../dataset/part-files.js';
import { TokensieveError, usageError } from '../errors.js';
import { absolutePath, normalPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

/** A data set with losses, and its documents. */
export interface AuditedRun extends DataSet {
  readonly kind: 'scored' | 'weighted';
  /** Folder of the scored parts, which has the documents files; null where it is not known. */
  readonly documentsFolder: string | null;
  /** The documents file of a part; null where there is none, as beside weights that lie elsewhere. */
  documents(part: FinishedPart): Promise<DocumentFile | null>;
}

/**
 * Finds the files to audit: the weighted ones of a run if it has any, else the scored ones.
 * @param run a run's output folder, or its scored or weighted folder
 * @param weighted where the weighted files are, if not in the run's own folder
 * @throws TokensieveError (usage) `nothing-scored`, `other-run` (weights of other losses); and as `openDataSet` throws
 */
export async function openAuditedRun(
  storage: Storage,
  run: string,
  weighted: string | null = null,
): Promise<AuditedRun> {
  const set = await openDataSet(storage, weighted ?? run, {
    prefer: weighted === null ? ['weighted', 'scored'] : [],
    nothing: { code: 'nothing-scored', advice: 'name the --out folder of tokensieve score' },
  });
  const { kind } = set;
  if (kind === 'packed') {
    throw usageError(
      'nothing-scored',
      `${set.folder}: holds ${kind} parts, which have no losses; name the folder of a scoring run`,
    );
  }
  const documentsFolder = kind === 'scored' ? set.folder : await scoredBeside(storage, run, set);
  const files = documentsFolder === null ? [] : await storage.list(documentsFolder);
  const present = new Set(files.filter((path) => path.endsWith('.documents.arrow')).map(normalPath));
  return {
    ...set,
    kind,
    documentsFolder,
    async documents(part) {
      if (documentsFolder === null) return null;
      const { shard, part: number } = part.manifest;
      if (!present.has(normalPath(partFiles(documentsFolder, shard, number).documents))) return null;
      const owner = await documentsIn(storage, documentsFolder, part);
      return owner === null ? null : openDocuments(storage, owner);
    },
  };
}

/** The first folder with scored parts of those where a run's may lie; they must be those that the weights were made from. */
async function scoredBeside(storage: Storage, run: string, weighted: DataSet): Promise<string | null> {
  for (const folder of new Set([scoredFolder(run), scoredFolder(weighted.run), run])) {
    if (absolutePath(folder) === absolutePath(weighted.folder)) continue;
    const first = (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX)).slice(0, 1);
    const [found] = await readParts(storage, folder, first).catch((error: unknown) => {
      // A page without kept columns would not say that they are missing for damage.
      if (error instanceof TokensieveError && error.code === 'bad-manifest') throw error;
      return [];
    });
    if (found?.manifest.kind !== 'scored') continue;
    const difference = explainDifference(found.manifest.recipe, weighted.recipe.rowsJson);
    if (difference.length === 0) return folder;
    throw usageError(
      'other-run',
      `${weighted.folder}: its weights were made from other losses than those in ${folder} (${difference.slice(0, 3).join('; ')}); select again, or name the run that they belong to`,
    );
  }
  return null;
}
