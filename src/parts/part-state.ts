import { explainDifference } from '../dataset/manifest.js';
import { firstLine, TokensieveError } from '../errors.js';
import { sizeOf } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';
import type { AnyManifest, ExpectedPart, Manifests } from './manifests.js';

/** What the output folder says of a part: a part is done if and only if its manifest matches and its outputs are there. */
export type PartState<M> =
  | { readonly state: 'done'; readonly manifest: M }
  | { readonly state: 'missing' }
  /** The manifest cannot be read, or an output is gone or has another size; `why` is one line that names the file. */
  | { readonly state: 'damaged'; readonly why: string }
  /** A manifest of another recipe or another input, null if it cannot be read; `why` has one line for each thing that changed. */
  | { readonly state: 'stale'; readonly why: readonly string[]; readonly manifest: M | null };

/**
 * @param path of the manifest
 * @param sizes of the files below the folder, in bytes, from one listing; without it each output is asked for
 */
export async function partState<M extends AnyManifest>(
  storage: Storage,
  manifests: Manifests<M>,
  path: string,
  expected: ExpectedPart,
  sizes?: ReadonlyMap<string, number>,
): Promise<PartState<M>> {
  if (sizes !== undefined && !sizes.has(path)) return { state: 'missing' };
  let manifest: M;
  try {
    manifest = await manifests.read(storage, path);
  } catch (error) {
    // A store that cannot be reached says nothing of the manifest.
    if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
    if (error.code === 'not-found') return { state: 'missing' };
    if (error.code !== 'bad-manifest' && error.code !== 'short-read') {
      return { state: 'stale', why: [`manifest unreadable: ${firstLine(error)}`], manifest: null };
    }
    const why = await manifests.otherRecipe(storage, path, expected, error);
    return why === null
      ? { state: 'damaged', why: firstLine(error) }
      : { state: 'stale', why, manifest: null };
  }
  if (manifest.fingerprint === expected.fingerprint) {
    const why = await damageOf(storage, manifests, path, manifest, sizes);
    return why === null ? { state: 'done', manifest } : { state: 'damaged', why };
  }
  const why = [
    ...explainDifference(manifest.recipe, expected.recipe),
    ...explainDifference(manifests.known(manifest), expected.known),
  ];
  return { state: 'stale', why: why.length > 0 ? why : ['fingerprint'], manifest };
}

/** What sizes alone tell of a part's outputs; null where they are as the manifest says. Nothing is read. */
async function damageOf<M extends AnyManifest>(
  storage: Storage,
  manifests: Manifests<M>,
  path: string,
  { outputs }: M,
  sizes: ReadonlyMap<string, number> | undefined,
): Promise<string | null> {
  for (const { name, bytes } of outputs) {
    const file = manifests.output(path, name);
    if (file === null) return `${path}: names ${name}, which lies elsewhere`;
    const found = sizes === undefined ? await sizeOf(storage, file) : (sizes.get(file) ?? null);
    if (found === null) return `${file}: is missing, though its part was finished`;
    if (found !== bytes) return `${file}: has ${found} bytes; its manifest says ${bytes}`;
  }
  return null;
}

/** The part's manifest as it is now, if it says what is expected and its outputs are there; null otherwise. */
export async function finishedManifest<M extends AnyManifest>(
  storage: Storage,
  manifests: Manifests<M>,
  path: string,
  expected: ExpectedPart,
): Promise<M | null> {
  const found = await partState(storage, manifests, path, expected);
  return found.state === 'done' ? found.manifest : null;
}
