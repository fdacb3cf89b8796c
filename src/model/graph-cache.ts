/** Built graphs on disk, in a cache folder, pointing at weights where they lie. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { pinFile } from '../storage/file-pin.js';
import type { HashedFile } from './model-file.js';

/** The deepest folder that holds every file. ONNX Runtime reads no weights from outside of one folder. */
export function commonFolder(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((path) => dirname(path).split(sep));
  const length = first.findIndex((part, depth) => others.some((other) => other[depth] !== part));
  return (length === -1 ? first : first.slice(0, length)).join(sep) || sep;
}

/** A graph in the cache. */
export interface CachedGraph extends HashedFile {
  /** A line for the log where the cache held other bytes under its name, which were replaced. */
  readonly warning: string | null;
}

/**
 * A graph's file in the cache, written unless it is there with these very bytes. The key is the model's hash and the
 * graph's own: whatever changes the graph, a setting or this code, makes another folder.
 */
export async function cacheGraph(
  bytes: Uint8Array,
  modelHash: string,
  cacheFolder: string,
): Promise<CachedGraph> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const folder = join(cacheFolder, `${modelHash.slice(0, 24)}-${sha256.slice(0, 12)}`);
  const path = join(folder, 'model.onnx');
  // A flipped bit in a graph is another computation, or an error that the model would be blamed for.
  const found = await readFile(path).catch(() => null);
  const isWhole = found !== null && Buffer.compare(found, bytes) === 0;
  if (!isWhole) await commitGraph(bytes, folder, path);
  const warning =
    found === null || isWhole
      ? null
      : `${path}: this cached graph was damaged, the model is not to blame; it was made again`;
  return { ...(await pinFile(path)), sha256, warning };
}

/** Writes under a staging name, to the disk itself, then renames: a second builder replaces the same bytes with the same bytes. */
async function commitGraph(bytes: Uint8Array, folder: string, path: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const staging = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    const file = await open(staging, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staging, path);
  } finally {
    await rm(staging, { force: true });
  }
}
