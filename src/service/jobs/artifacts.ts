import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import type { ArtifactList } from '../api.js';
import { isWithin } from '../pipeline/roots.js';

/** Files listed of one job. */
const MAX_FILES = 10_000;

/** The service's own file, which says nothing that the API does not say better. */
const OWN = 'job.json';

const TYPES: Readonly<Record<string, string>> = {
  '.arrow': 'application/vnd.apache.arrow.file',
  '.html': 'text/html; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.jsonl': 'application/x-ndjson; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.yaml': 'application/yaml; charset=utf-8',
};

/** Media type by the name's ending; what is not known is bytes, which no browser runs. */
export const typeOf = (path: string): string =>
  TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream';

/** The files of a job's folder, hidden ones and links left out. */
export async function listArtifacts(folder: string): Promise<ArtifactList> {
  const files: ArtifactList['files'] = [];
  const pending = [folder];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const entry of await entriesOf(at)) {
      const path = join(at, entry.name);
      if (entry.name.startsWith('.') || (at === folder && entry.name === OWN)) continue;
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) {
        if (files.length >= MAX_FILES) return { files: files.sort(byPath), truncated: true };
        const bytes = await sizeOf(path);
        const name = relative(folder, path).split(sep).join('/');
        if (bytes !== null) files.push({ path: name, bytes, type: typeOf(name) });
      }
    }
  }
  return { files: files.sort(byPath), truncated: false };
}

/**
 * The name below the job's folder of a file that may be handed out; null for what is not there, is hidden, is no file,
 * or leads out of the folder.
 */
export async function findArtifact(folder: string, path: string): Promise<string | null> {
  const names = path.split('/');
  if (path.includes('\0') || path.includes('\\')) return null;
  if (names.some((name) => name === '' || name.startsWith('.')) || path === OWN) return null;
  try {
    const root = await realpath(folder);
    const real = await realpath(join(folder, ...names));
    if (!isWithin(root, real) || !(await stat(real)).isFile()) return null;
    const found = relative(root, real).split(sep);
    // A link may lead to what has no link of its own.
    return found.some((name) => name.startsWith('.')) || found.join('/') === OWN ? null : found.join('/');
  } catch {
    return null;
  }
}

const byPath = (a: { readonly path: string }, b: { readonly path: string }): number =>
  a.path < b.path ? -1 : a.path > b.path ? 1 : 0;

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch {
    // Removed at this moment.
    return [];
  }
}

const sizeOf = (path: string): Promise<number | null> =>
  stat(path).then(
    ({ size }) => size,
    () => null,
  );
