/**
 * The one place where a part becomes done. What makes it so is the order: what another recipe left goes first, the data
 * files follow under their final names, and the manifest, which alone says that the part is done, comes last. Whoever is
 * stopped between two of these steps leaves a part that is not done, and is made again to the same bytes.
 */
import type { PartPlace } from '../dataset/part-files.js';
import { commitBytes } from '../storage/commit-bytes.js';
import type { Storage } from '../storage/storage.js';
import type { EventSink } from './events.js';
import type { AnyManifest, ExpectedPart, Manifests } from './manifests.js';
import { partState } from './part-state.js';

/** A file that lies there under a staging name. */
export interface StagedOutput {
  /** Puts it under its final name. */
  commit(): Promise<void>;
  /** Removes it; nothing where it is committed. */
  abort(): Promise<void>;
}

/** A part that lacks nothing but its commit. */
export interface StagedPart<M> {
  readonly manifest: M;
  /** In the order in which they are committed. */
  readonly files: readonly Pick<StagedOutput, 'commit'>[];
  /**
   * Looks again at what the part was made of, once nothing more is read of it and before it is committed: throws where that is
   * no longer what the manifest says. Absent where every byte that was read is vouched for by a digest.
   */
  look?(): Promise<void>;
}

export async function commitPart<M extends AnyManifest>(
  {
    storage,
    sink,
    manifests,
  }: {
    readonly storage: Storage;
    readonly sink: EventSink;
    readonly manifests: Manifests<M>;
  },
  place: PartPlace,
  expected: ExpectedPart,
  { manifest, files, look }: StagedPart<M>,
): Promise<void> {
  await look?.();
  const path = manifests.path(place);
  await removeStale(storage, manifests, path, expected, manifest);
  for (const file of files) await file.commit();
  sink({ event: 'data-committed', shard: place.shard, part: place.part });
  await commitBytes(storage, path, manifests.bytes(manifest));
}

/**
 * Removes a manifest of another recipe or input before the data of this one goes beside it, so that the two never stand
 * together, and the files it names that are not made again. One of this recipe stays: another process finished the part,
 * with the same bytes. Where there is none nothing is removed either: between the look and the removal another process
 * could have put its own there, and a part that was reported done would be undone.
 */
async function removeStale<M extends AnyManifest>(
  storage: Storage,
  manifests: Manifests<M>,
  path: string,
  expected: ExpectedPart,
  next: M,
): Promise<void> {
  const found = await partState(storage, manifests, path, expected);
  if (found.state !== 'stale') return;
  await storage.remove(path);
  const again = new Set(next.outputs.map(({ name }) => name));
  for (const { name } of found.manifest?.outputs ?? []) {
    const file = again.has(name) ? null : manifests.output(path, name);
    if (file !== null) await storage.remove(file);
  }
}
