import { knownInput, type PartInput } from '../dataset/finished-parts.js';
import { explainDifference, type Manifest, readManifest } from '../dataset/manifest.js';
import { firstLine, TokensieveError } from '../errors.js';
import type { Storage } from '../storage/storage.js';

/** What the output folder says of a part: a part is done if and only if its manifest matches. */
export type PartState =
  | { readonly state: 'done'; readonly manifest: Manifest }
  | { readonly state: 'missing' }
  /** A manifest of another recipe or another input; `why` has one line for each thing that changed. */
  | { readonly state: 'stale'; readonly why: readonly string[] };

/** @param manifests paths of the manifests that exist, from one listing of the folder */
export async function partState(
  storage: Storage,
  manifests: ReadonlySet<string>,
  path: string,
  expected: ExpectedPart,
): Promise<PartState> {
  if (!manifests.has(path)) return { state: 'missing' };
  let manifest: Manifest;
  try {
    manifest = await readManifest(storage, path);
  } catch (error) {
    // A store that cannot be reached says nothing of the manifest.
    if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
    if (error.code === 'not-found') return { state: 'missing' };
    return { state: 'stale', why: [`manifest unreadable: ${firstLine(error)}`] };
  }
  if (manifest.fingerprint === expected.fingerprint) return { state: 'done', manifest };
  const why = [
    ...explainDifference(manifest.recipe, expected.recipe),
    ...explainDifference({ input: knownInput(manifest) }, { input: expected.input }),
  ];
  return { state: 'stale', why: why.length > 0 ? why : ['fingerprint'] };
}

/** The part's manifest as it is now, if it says what is expected; null otherwise. */
export async function finishedManifest(
  storage: Storage,
  path: string,
  expected: ExpectedPart,
): Promise<Manifest | null> {
  const found = await partState(storage, new Set([path]), path, expected);
  return found.state === 'done' ? found.manifest : null;
}

/**
 * Removes a manifest of another recipe or input before the data of this one goes beside it, so that the two never stand
 * together. One of this recipe stays: another process finished the part, with the same bytes. Where there is none
 * nothing is removed either: between the look and the removal another process could have put its own there, and a part
 * that was reported done would be undone.
 */
export async function removeStale(storage: Storage, path: string, expected: ExpectedPart): Promise<void> {
  const { state } = await partState(storage, new Set([path]), path, expected);
  if (state === 'stale') await storage.remove(path);
}

/** What a part's manifest must say to count as this run's. */
export interface ExpectedPart {
  readonly fingerprint: string;
  readonly recipe: Manifest['recipe'];
  readonly input: PartInput;
}
