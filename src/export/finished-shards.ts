/** Which shards of an export are done, by their manifests. */
import { explainDifference } from '../dataset/manifest.js';
import { firstLine, TokensieveError, usageError } from '../errors.js';
import type { EventSink } from '../parts/events.js';
import { joinPath, normalPath } from '../storage/path.js';
import { sizesBelow } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';
import { type ExportManifest, isBelow, readExportManifest, shardOfManifest } from './manifest.js';

/** What a shard's manifest must say to count as this export's. */
export type ShardIdentity = Pick<ExportManifest, 'fingerprint' | 'recipe' | 'sources' | 'shard' | 'shards'>;

/**
 * The shards that are done, by number. Manifests of other settings or sources, and of shards beyond the last, are
 * refused, or removed with what they name.
 */
export async function finishedShards(
  {
    storage,
    sink,
    replace,
  }: { readonly storage: Storage; readonly sink: EventSink; readonly replace: boolean },
  out: string,
  expected: readonly ShardIdentity[],
): Promise<Map<number, ExportManifest>> {
  const found = await sizesBelow(storage, out);
  const sizes = new Map([...found].map(([path, size]) => [normalPath(path), size]));
  const done = new Map<number, ExportManifest>();
  const stale: { readonly path: string; readonly manifest: ExportManifest | null }[] = [];
  for (const path of await storage.list(joinPath(out, 'manifests'), { shallow: true })) {
    const index = shardOfManifest(out, path);
    if (index === null) continue;
    const wanted = expected[index];
    let manifest: ExportManifest | null = null;
    let why: readonly string[];
    try {
      manifest = await readExportManifest(storage, path);
      if (wanted !== undefined && manifest.fingerprint === wanted.fingerprint) {
        const lost = manifest.outputs.find(({ name, bytes }) => sizes.get(joinPath(out, name)) !== bytes);
        if (lost === undefined) done.set(index, manifest);
        else {
          const message = `${joinPath(out, lost.name)}: is missing, or not of the ${lost.bytes} bytes that its manifest says; its shard is written again`;
          sink({ event: 'warning', message });
        }
        continue;
      }
      why = differences(manifest, wanted);
    } catch (error) {
      if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
      why = [`manifest unreadable: ${firstLine(error)}`];
    }
    if (!replace) {
      throw usageError(
        'stale-shards',
        `${path}: made otherwise (${why.slice(0, 4).join('; ')}); choose another --out, or redo the export with --replace`,
      );
    }
    stale.push({ path, manifest });
  }
  for (const { path, manifest } of stale) {
    // The manifest first: from then on the shard is not done, whatever happens to its data.
    await storage.remove(path);
    for (const { name } of manifest?.outputs ?? [])
      if (isBelow(name)) await storage.remove(joinPath(out, name));
  }
  return done;
}

function differences(found: ExportManifest, wanted: ShardIdentity | undefined): readonly string[] {
  if (wanted === undefined) return ['the export has fewer shards now'];
  const why = [
    ...explainDifference(found.recipe, wanted.recipe),
    ...explainDifference(
      { shards: found.shards, sources: found.sources },
      { shards: wanted.shards, sources: wanted.sources },
    ),
  ];
  return why.length > 0 ? why : ['fingerprint'];
}
