import { folderOf, nameOf } from '../storage/path.js';
import { sizeOf } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';
import { type FinishedPart, readParts } from './finished-parts.js';
import { partFiles, scoredFolder } from './part-files.js';

/**
 * The part that has a part's documents file: itself, or the scored one that a weighted one was made of. Null where there is
 * none, or where it is of other text.
 * @param run an output folder that may have the scored parts, if they are not near the part
 */
export async function documentsOf(
  storage: Storage,
  { folder, manifest }: FinishedPart,
  run = folder,
): Promise<FinishedPart | null> {
  const { shard, part, input } = manifest;
  const scored = [run, folder, folderOf(folder), folderOf(folderOf(folder))].map(scoredFolder);
  for (const candidate of new Set([folder, ...scored])) {
    const files = partFiles(candidate, shard, part);
    const present = await storage.list(folderOf(files.manifest), { shallow: true });
    const has = (path: string) => present.some((one) => nameOf(one) === nameOf(path));
    if (!has(files.documents) || !has(files.manifest)) continue;
    const [found] = await readParts(storage, candidate, [files.manifest]);
    if (found?.manifest.input.text_sha256 === input.text_sha256) return found;
  }
  return null;
}

/** The same where the folder is known. */
export async function documentsIn(
  storage: Storage,
  folder: string,
  part: FinishedPart,
): Promise<FinishedPart | null> {
  const { shard, part: number, input } = part.manifest;
  const hasDocuments = ({ outputs }: FinishedPart['manifest']): boolean =>
    outputs.some(({ kind }) => kind === 'documents');
  if (folder === part.folder && hasDocuments(part.manifest)) return part;
  const { manifest: path } = partFiles(folder, shard, number);
  if ((await sizeOf(storage, path)) === null) return null;
  const [found] = await readParts(storage, folder, [path]);
  const isOfIt = found?.manifest.input.text_sha256 === input.text_sha256 && hasDocuments(found.manifest);
  return isOfIt ? found : null;
}
