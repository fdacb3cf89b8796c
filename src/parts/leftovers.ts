/**
 * Finished parts that lie in an output folder and that the command at hand would never make: of shards it does not
 * name, or beyond a shard's last part. Left there, their documents would be counted twice.
 */
import type { PartPlace } from '../dataset/part-files.js';
import { folderOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { EventSink } from './events.js';
import type { AnyManifest, Manifests } from './manifests.js';

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
 * The parts that have a manifest in the folder, from one listing of it.
 * @param shard list this shard's parts alone
 */
export async function listParts(
  storage: Storage,
  { folder, path, placeOf }: Pick<Manifests<AnyManifest>, 'folder' | 'path' | 'placeOf'>,
  shard?: string,
): Promise<readonly PartPlace[]> {
  const listed = shard === undefined ? folder : folderOf(path({ shard, part: 0 }));
  const places = (await storage.list(listed)).flatMap((found) => placeOf(found) ?? []);
  return shard === undefined ? places : places.filter((place) => place.shard === shard);
}

/**
 * Removes leftover parts, or refuses while nobody said `--replace`. What another command wrote below this folder is left
 * alone.
 * @throws TokensieveError `stale-parts` (usage) unless `replace`
 */
export async function clearLeftovers<M extends AnyManifest>(
  manifests: Manifests<M>,
  leftovers: readonly PartPlace[],
  {
    storage,
    replace,
    sink,
  }: {
    readonly storage: Storage;
    readonly replace: boolean;
    readonly sink: EventSink;
  },
): Promise<void> {
  const { folder } = manifests;
  const own: { readonly manifest: string; readonly files: readonly string[] }[] = [];
  for (const place of leftovers) {
    const files = await manifests.filesOf(storage, place);
    if (files !== null) own.push({ manifest: manifests.path(place), files });
  }
  const [first] = own;
  if (first === undefined) return;
  if (!replace) throw manifests.leftoversError(first.manifest, own.length);
  for (const { manifest, files } of own) {
    // The manifest first: from then on the part is not done, whatever happens to its data.
    for (const path of [manifest, ...files]) await storage.remove(path);
  }
  sink({ event: 'note', message: `removed ${own.length} leftover part(s) from ${folder}` });
}
