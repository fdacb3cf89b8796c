import { knownInput, type PartInput } from '../dataset/finished-parts.js';
import { explainDifference, type Manifest, readManifest } from '../dataset/manifest.js';
import { readSequences } from '../dataset/reader.js';
import { firstLine, TokensieveError } from '../errors.js';
import { sizeOf } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';

/** What the output folder says of a part: a part is done if and only if its manifest matches and its outputs are there. */
export type PartState =
  | { readonly state: 'done'; readonly manifest: Manifest }
  | { readonly state: 'missing' }
  /** The manifest cannot be read, or an output is gone or has another size; `why` is one line that names the file. */
  | { readonly state: 'damaged'; readonly why: string }
  /** A manifest of another recipe or another input; `why` has one line for each thing that changed. */
  | { readonly state: 'stale'; readonly why: readonly string[] };

/**
 * @param manifests paths of the manifests that exist, from one listing of the folder
 * @param sizes of the files below the folder, in bytes, from one listing; without it each output is asked for
 */
export async function partState(
  storage: Storage,
  manifests: ReadonlySet<string>,
  path: string,
  expected: ExpectedPart,
  sizes?: ReadonlyMap<string, number>,
): Promise<PartState> {
  if (!manifests.has(path)) return { state: 'missing' };
  let manifest: Manifest;
  try {
    manifest = await readManifest(storage, path);
  } catch (error) {
    // A store that cannot be reached says nothing of the manifest.
    if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
    if (error.code === 'not-found') return { state: 'missing' };
    if (error.code !== 'bad-manifest' && error.code !== 'short-read') {
      return { state: 'stale', why: [`manifest unreadable: ${firstLine(error)}`] };
    }
    // The data file beside it tells of what recipe the part was: a damaged manifest is no licence to mix two.
    const why = await otherRecipe(storage, path, expected);
    return why === null ? { state: 'damaged', why: firstLine(error) } : { state: 'stale', why };
  }
  if (manifest.fingerprint === expected.fingerprint) {
    const why = await damageOf(storage, path, manifest, sizes);
    return why === null ? { state: 'done', manifest } : { state: 'damaged', why };
  }
  const why = [
    ...explainDifference(manifest.recipe, expected.recipe),
    ...explainDifference({ input: knownInput(manifest) }, { input: expected.input }),
  ];
  return { state: 'stale', why: why.length > 0 ? why : ['fingerprint'] };
}

/** What sizes alone tell of a part's outputs; null where they are as the manifest says. Nothing is read. */
async function damageOf(
  storage: Storage,
  path: string,
  { outputs }: Manifest,
  sizes: ReadonlyMap<string, number> | undefined,
): Promise<string | null> {
  for (const { name, bytes } of outputs) {
    const file = path.slice(0, path.lastIndexOf('/') + 1) + name;
    const found = sizes === undefined ? await sizeOf(storage, file) : (sizes.get(file) ?? null);
    if (found === null) return `${file}: is missing, though its part was finished`;
    if (found !== bytes) return `${file}: has ${found} bytes; its manifest says ${bytes}`;
  }
  return null;
}

/** What a part's data file says of another recipe; null where it is of the expected one, or cannot be read. */
async function otherRecipe(
  storage: Storage,
  path: string,
  expected: ExpectedPart,
): Promise<readonly string[] | null> {
  try {
    const { metadata } = await readSequences(storage, path.replace(/\.manifest\.json$/, '.arrow'));
    if (metadata['fingerprint'] === expected.fingerprint) return null;
    const why = explainDifference(metadata['recipe'], expected.recipe);
    return ['its manifest is damaged', ...(why.length > 0 ? why : ['its data file is of another input'])];
  } catch (error) {
    if (error instanceof TokensieveError && error.reach === 'input') return null;
    throw error;
  }
}

/** The part's manifest as it is now, if it says what is expected and its outputs are there; null otherwise. */
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
