/** Built graphs on disk, in a cache folder, pointing at weights where they lie. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';

/** The deepest folder that holds every file. ONNX Runtime reads no weights from outside of one folder. */
export function commonFolder(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((path) => dirname(path).split(sep));
  const length = first.findIndex((part, depth) => others.some((other) => other[depth] !== part));
  return (length === -1 ? first : first.slice(0, length)).join(sep) || sep;
}

/**
 * The path of a graph's file in the cache, written unless it is there. The key is the model's hash and the
 * graph's own: whatever changes the graph, a setting or this code, makes another folder.
 */
export async function cacheGraph(bytes: Uint8Array, modelHash: string, cacheFolder: string): Promise<string> {
  const graphHash = createHash('sha256').update(bytes).digest('hex');
  const folder = join(cacheFolder, `${modelHash.slice(0, 24)}-${graphHash.slice(0, 12)}`);
  const path = join(folder, 'model.onnx');
  if (!existsSync(path)) await commitGraph(bytes, folder, path);
  return path;
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
