/** What lies in a folder, by name: enough to tell what somebody has pointed at. */
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { usageError } from '../errors.js';
import { parsePythonJson } from '../json/python-json.js';
import { readText } from '../storage/read-text.js';

export interface FolderListing {
  readonly folder: string;
  /** The folder's own name. */
  readonly name: string;
  /** Names of what is no folder, in order. */
  readonly files: readonly string[];
  readonly folders: readonly string[];
  /** config.json's object; null where there is none, or it is none. */
  readonly config: Readonly<Record<string, unknown>> | null;
}

/** Of a file instead of a folder: what its name and first bytes make it. */
export type PathFound =
  | { readonly kind: 'folder' }
  | { readonly kind: 'file' }
  | { readonly kind: 'nothing' };

export async function findPath(path: string): Promise<PathFound> {
  const found = await stat(path).catch(() => null);
  if (found === null) return { kind: 'nothing' };
  return { kind: found.isDirectory() ? 'folder' : 'file' };
}

/** @throws usage `unreadable-folder` */
export async function listFolder(folder: string): Promise<FolderListing> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw usageError('unreadable-folder', `${folder}: cannot be listed (${reason}); check its permissions`);
  });
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const isFolder =
      entry.isDirectory() ||
      (entry.isSymbolicLink() && (await findPath(join(folder, entry.name))).kind === 'folder');
    (isFolder ? folders : files).push(entry.name);
  }
  return { folder, name: basename(join(folder, '.')), files, folders, config: await readConfig(folder) };
}

async function readConfig(folder: string): Promise<FolderListing['config']> {
  const config: unknown = await readText(join(folder, 'config.json'), 16 * 2 ** 20)
    .then(parsePythonJson)
    .catch(() => null);
  if (typeof config !== 'object' || config === null || Array.isArray(config)) return null;
  return config as Readonly<Record<string, unknown>>;
}

/** Where a link leads whose target is not there; null for anything else. */
export async function danglingTarget(path: string): Promise<string | null> {
  const link = await lstat(path).catch(() => null);
  if (link === null || !link.isSymbolicLink() || (await findPath(path)).kind !== 'nothing') return null;
  return readlink(path);
}
