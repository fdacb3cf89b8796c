/**
 * Parts that are made one from each finished part of a run: weighted ones by selection, scored ones by an import. What of them is
 * done already, and what lies in their folder that none of these parts is made into.
 */
import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { tellDamaged } from './damaged-parts.js';
import { type ExpectedPart, partState } from './done-parts.js';
import type { EventSink } from './events.js';
import { clearLeftovers, listPartsAndSizes } from './leftovers.js';

export interface DerivedFolder {
  readonly folder: string;
  readonly kind: Manifest['kind'];
  /** What the manifest made of a part must say. */
  readonly expected: (part: FinishedPart) => ExpectedPart;
  /** What is made again with `--replace`, in words. */
  readonly what: string;
}

export interface DerivedParts {
  /** Those that are done, in the order of `parts`. */
  readonly done: ReadonlyMap<FinishedPart, Manifest>;
  readonly pending: readonly FinishedPart[];
  readonly damaged: number;
}

/**
 * Looks at the folder once, and removes parts of none of these with `replace`.
 * @throws TokensieveError (usage) `stale-parts` for parts made otherwise, or of other parts, unless `replace`
 */
export async function derivedParts(
  parts: readonly FinishedPart[],
  { folder, kind, expected, what }: DerivedFolder,
  {
    storage,
    replace,
    sink,
  }: { readonly storage: Storage; readonly replace: boolean; readonly sink: EventSink },
): Promise<DerivedParts> {
  const { found, sizes } = await listPartsAndSizes(storage, folder);
  const manifests = new Set(found.map(({ shard, part }) => partFiles(folder, shard, part).manifest));
  const wanted = new Set<string>();
  const done = new Map<FinishedPart, Manifest>();
  const pending: FinishedPart[] = [];
  const damaged: string[] = [];
  for (const part of parts) {
    const path = partFiles(folder, part.manifest.shard, part.manifest.part).manifest;
    wanted.add(path);
    const state = await partState(storage, manifests, path, expected(part), sizes);
    if (state.state === 'damaged') damaged.push(state.why);
    if (state.state === 'done') done.set(part, state.manifest);
    else pending.push(part);
    if (state.state === 'stale' && !replace) {
      throw usageError(
        'stale-parts',
        `${path}: made otherwise (${state.why.slice(0, 4).join('; ')}); choose another --out, or redo the ${what} with --replace`,
      );
    }
  }
  const leftovers = found.filter(({ shard, part }) => !wanted.has(partFiles(folder, shard, part).manifest));
  const removed = await clearLeftovers(storage, folder, kind, leftovers, replace);
  if (removed > 0) sink({ event: 'note', message: `removed ${removed} leftover part(s) from ${folder}` });
  tellDamaged(damaged, sink);
  return { done, pending, damaged: damaged.length };
}
