import { TokensieveError } from '../errors.js';
import type { Storage } from './storage.js';

/** Objects asked for at once where a listing tells no sizes. */
const STATS_AT_ONCE = 32;

/**
 * Every object below `folder` with its size in bytes, in the order of `list`. One listing where the store tells sizes
 * with it; otherwise a `stat` for each object. An object that goes in between is left out.
 */
export async function sizesBelow(storage: Storage, folder: string): Promise<ReadonlyMap<string, number>> {
  if (storage.sizes !== undefined) return storage.sizes(folder);
  return statAll(await storage.list(folder), (path) => sizeOf(storage, path));
}

/** Sizes of `paths` by `look`, some at once; those of which it gives null are left out. */
export async function statAll(
  paths: readonly string[],
  look: (path: string) => Promise<number | null>,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  for (let at = 0; at < paths.length; at += STATS_AT_ONCE) {
    const some = paths.slice(at, at + STATS_AT_ONCE);
    const found = await Promise.all(some.map(look));
    for (const [i, path] of some.entries()) {
      const size = found[i];
      if (typeof size === 'number') sizes.set(path, size);
    }
  }
  return sizes;
}

/** The object's size in bytes; null where there is none. */
export async function sizeOf(storage: Storage, path: string): Promise<number | null> {
  try {
    return (await storage.stat(path)).size;
  } catch (error) {
    if (error instanceof TokensieveError && (error.code === 'not-found' || error.code === 'not-a-file')) {
      return null;
    }
    throw error;
  }
}
