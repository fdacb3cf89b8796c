import { type DocumentFile, readDocuments } from '../dataset/documents.js';
import { type FinishedPart, readParts } from '../dataset/finished-parts.js';
import { explainDifference, MANIFEST_SUFFIX } from '../dataset/manifest.js';
import { partFiles, scoredFolder, weightedFolder } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { absolutePath, folderOf, nameOf, normalPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

/** The parts of a run that is audited, in global order. */
export interface AuditedRun {
  readonly kind: 'scored' | 'weighted';
  readonly parts: readonly FinishedPart[];
  /** The recipe of the audited files. */
  readonly recipe: JsonObject;
  /** That of scoring: the same, or the one that a selection's recipe holds. */
  readonly scored: JsonObject;
  /** Folder of the scored parts, which has the documents files; null where it is not known. */
  readonly documentsFolder: string | null;
  /** The documents file of a part; null where there is none, as beside weights that lie elsewhere. */
  documents(part: FinishedPart): Promise<DocumentFile | null>;
}

/**
 * Finds the files to audit: the weighted ones of a run if it has any, else the scored ones.
 * @param run a run's output folder, or its scored or weighted folder
 * @param weighted where the weighted files are, if not in the run's own folder
 * @throws TokensieveError (usage) `nothing-scored`, `other-run` (weights of other losses); and as `readParts` throws
 */
export async function openAuditedRun(
  storage: Storage,
  run: string,
  weighted: string | null = null,
): Promise<AuditedRun> {
  const candidates = weighted === null ? [weightedFolder(run), scoredFolder(run), run] : [weighted];
  for (const folder of candidates) {
    const manifests = await listManifests(storage, folder);
    if (manifests.length === 0) continue;
    const parts = await readParts(storage, folder, manifests);
    const kind = parts[0]?.manifest.kind;
    if (kind !== 'scored' && kind !== 'weighted') {
      throw usageError(
        'nothing-scored',
        `${folder}: holds ${kind} parts, which have no losses; name the folder of a scoring run`,
      );
    }
    const recipe = parts[0]?.manifest.recipe ?? {};
    const scored = kind === 'weighted' && isJsonObject(recipe['scored']) ? recipe['scored'] : recipe;
    const folders = kind === 'scored' ? [folder] : scoredCandidates(run, folder);
    const documentsFolder = await scoredBeside(storage, folders, parts, scored);
    const files = documentsFolder === null ? [] : await storage.list(documentsFolder);
    const present = new Set(files.filter((path) => path.endsWith('.documents.arrow')).map(normalPath));
    return {
      kind,
      parts,
      recipe,
      scored,
      documentsFolder,
      async documents({ manifest }) {
        if (documentsFolder === null) return null;
        const path = partFiles(documentsFolder, manifest.shard, manifest.part).documents;
        return present.has(normalPath(path)) ? readDocuments(storage, path) : null;
      },
    };
  }
  throw usageError(
    'nothing-scored',
    `${candidates.join(', ')}: no finished parts (*${MANIFEST_SUFFIX}); name the --out folder of tokensieve score`,
  );
}

/** Where the scored files of weighted ones may lie. */
function scoredCandidates(run: string, weighted: string): string[] {
  const beside =
    nameOf(absolutePath(weighted)) === 'weighted' ? [scoredFolder(folderOf(absolutePath(weighted)))] : [];
  return [...new Set([scoredFolder(run), ...beside, run])].filter(
    (folder) => absolutePath(folder) !== absolutePath(weighted),
  );
}

/** The first of the folders that has scored parts; they must be those that the weights were made from. */
async function scoredBeside(
  storage: Storage,
  folders: readonly string[],
  parts: readonly FinishedPart[],
  recipe: JsonObject,
): Promise<string | null> {
  for (const folder of folders) {
    if (parts.some((part) => absolutePath(part.folder) === absolutePath(folder))) return folder;
    const first = (await listManifests(storage, folder)).slice(0, 1);
    const [found] = await readParts(storage, folder, first).catch(() => []);
    if (found?.manifest.kind !== 'scored') continue;
    const difference = explainDifference(found.manifest.recipe, recipe);
    if (difference.length === 0) return folder;
    throw usageError(
      'other-run',
      `${parts[0]?.folder}: its weights were made from other losses than those in ${folder} (${difference.slice(0, 3).join('; ')}); select again, or name the run that they belong to`,
    );
  }
  return null;
}

async function listManifests(storage: Storage, folder: string): Promise<string[]> {
  return (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX));
}
