/**
 * Finished parts that lie in an output folder and that the command at hand would never make: of shards it does not
 * name, or beyond a shard's last part. Left there, their documents would be counted twice.
 */
import { MANIFEST_SUFFIX, type Manifest, readManifest } from '../dataset/manifest.js';
import { type PartPlace, partFiles, placeOfManifest } from '../dataset/part-files.js';
import { TokensieveError, usageError } from '../errors.js';
import { folderOf, normalPath } from '../storage/path.js';
import { sizesBelow } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';

/** Parts of each shard by its name; null where only reading tells how many. */
export type PartCounts = ReadonlyMap<string, number | null>;

/** The parts among `found` that a command over these shards does not make. */
export function leftoverParts(found: readonly PartPlace[], counts: PartCounts): readonly PartPlace[] {
  return found.filter(({ shard, part }) => {
    const parts = counts.get(shard);
    return parts === undefined || (parts !== null && part >= parts);
  });
}

/**
 * The parts that have a manifest below `folder`, from one listing of it.
 * @param shard list this shard's parts alone
 */
export async function listParts(
  storage: Storage,
  folder: string,
  shard?: string,
): Promise<readonly PartPlace[]> {
  const listed = shard === undefined ? folder : folderOf(partFiles(folder, shard, 0).manifest);
  const paths = (await storage.list(listed)).filter((path) => path.endsWith(MANIFEST_SUFFIX));
  return paths.flatMap((path) => placeOfManifest(folder, path) ?? []);
}

/** The same, with the size of every file below `folder`, from the same listing. */
export async function listPartsAndSizes(
  storage: Storage,
  folder: string,
): Promise<{ readonly found: readonly PartPlace[]; readonly sizes: ReadonlyMap<string, number> }> {
  const sizes = new Map<string, number>();
  // Under the paths that `partFiles` gives, however the folder is spelled.
  for (const [path, size] of await sizesBelow(storage, folder)) sizes.set(normalPath(path), size);
  const paths = [...sizes.keys()].filter((path) => path.endsWith(MANIFEST_SUFFIX));
  return { found: paths.flatMap((path) => placeOfManifest(folder, path) ?? []), sizes };
}

/**
 * Removes leftover parts, or refuses while nobody said `--replace`. What another command wrote below this folder
 * is left alone: only a manifest that names the place it lies at is this folder's.
 * @returns how many were removed
 * @throws TokensieveError `stale-parts` (usage) unless `replace`
 */
export async function clearLeftovers(
  storage: Storage,
  folder: string,
  kind: Manifest['kind'],
  leftovers: readonly PartPlace[],
  replace: boolean,
): Promise<number> {
  const own: PartPlace[] = [];
  for (const place of leftovers) if (await isPartOf(storage, folder, kind, place)) own.push(place);
  const [first] = own;
  if (first === undefined) return 0;
  if (!replace) {
    throw usageError(
      'stale-parts',
      `${folder}: ${own.length} finished part(s) of shards that this command does not name, or beyond a shard's end (${partFiles(folder, first.shard, first.part).manifest}); name the same shards as before, choose another --out, or remove these parts with --replace`,
    );
  }
  for (const { shard, part } of own) {
    const files = partFiles(folder, shard, part);
    // The manifest first: from then on the part is not done, whatever happens to its data.
    for (const path of [files.manifest, files.sequences, files.documents, files.quarantine]) {
      await storage.remove(path);
    }
  }
  return own.length;
}

async function isPartOf(
  storage: Storage,
  folder: string,
  kind: Manifest['kind'],
  { shard, part }: PartPlace,
): Promise<boolean> {
  try {
    const manifest = await readManifest(storage, partFiles(folder, shard, part).manifest);
    return manifest.kind === kind && manifest.shard === shard && manifest.part === part;
  } catch (error) {
    if (error instanceof TokensieveError && error.reach === 'input') return false;
    throw error;
  }
}
