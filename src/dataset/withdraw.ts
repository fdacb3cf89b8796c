import { randomBytes } from 'node:crypto';
import { claimFolder, type WriterClaim } from '../storage/folder-claim.js';
import { folderOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';

/**
 * Withdraws parts: removes their manifests, so that the command that wrote them makes them again, and no other part.
 * Data files stay until they are written over.
 * @param folder that was verified · @param manifests `damaged` of its report
 * @throws TokensieveError `folder-busy` (usage) while a run is writing there: what it replaces at this moment is not damage
 */
export async function withdrawParts(
  storage: Storage,
  folder: string,
  manifests: readonly string[],
): Promise<void> {
  const claims: WriterClaim[] = [];
  try {
    for (const place of await writtenFolders(storage, folder, manifests)) {
      claims.push(await claimFolder(place, `repair ${randomBytes(8).toString('hex')}`, storage));
    }
    for (const path of manifests) await storage.remove(path);
  } finally {
    for (const claim of claims) await claim.release();
  }
}

/** Folders above the manifests in which writers announce themselves, from the parent of `folder` down. */
async function writtenFolders(
  storage: Storage,
  folder: string,
  manifests: readonly string[],
): Promise<readonly string[]> {
  const top = folderOf(folder);
  const above = new Set<string>();
  for (const path of manifests) {
    for (let at = folderOf(path); at.length >= top.length && !above.has(at); at = folderOf(at)) {
      above.add(at);
      if (at === top || at === folderOf(at)) break;
    }
  }
  const written: string[] = [];
  for (const place of above) {
    const writers = await storage.list(`${place}/.writers`, { shallow: true });
    if (writers.length > 0) written.push(place);
  }
  return written.sort();
}
