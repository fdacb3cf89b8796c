/** Folders that requests may name files in, and whether a path stays inside them, links resolved. */
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import picomatch from 'picomatch';
import { firstLine, usageError } from '../../errors.js';

/** Entries looked at below the inputs of a pipeline; models and data sets have fewer. */
export const MAX_ENTRIES = 100_000;

/** What is left to look at. */
export interface Looks {
  entries: number;
}

/**
 * Resolves the configured roots.
 * @returns their real paths
 * @throws TokensieveError `bad-root` (usage): no folder, or a name that a pattern would read otherwise
 */
export async function openRoots(roots: readonly string[]): Promise<readonly string[]> {
  return Promise.all(
    roots.map(async (root) => {
      let real: string;
      try {
        real = await realpath(root);
        if (!(await stat(real)).isDirectory()) throw new Error('it is a file');
      } catch (error) {
        throw usageError('bad-root', `--root ${root}: expected a folder: ${firstLine(error)}`, {
          cause: error,
        });
      }
      if (picomatch.scan(real).isGlob) {
        throw usageError(
          'bad-root',
          `--root ${root}: its name has characters of a pattern (*?[]{}!()); rename it`,
        );
      }
      return real;
    }),
  );
}

/** Whether a path is a folder or lies below it, by its letters alone. */
export function isWithin(folder: string, path: string): boolean {
  const below = relative(folder, path);
  return below === '' || !(below === '..' || below.startsWith(`..${sep}`) || isAbsolute(below));
}

/** Whether a path has a `..` or a NUL in it, which no request needs. */
export const isSuspect = (path: string): boolean => path.includes('\0') || path.split(/[\\/]/).includes('..');

/** The real path of what is there of a path, with the rest that is not there yet. */
export async function realPathOf(path: string): Promise<string> {
  const absolute = resolve(path);
  for (let at = absolute; ; at = dirname(at)) {
    try {
      return join(await realpath(at), relative(at, absolute));
    } catch (error) {
      // A link to nothing is there, and would be written through.
      if (await isLink(at)) throw error;
      if (at === dirname(at)) return absolute;
    }
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch {
    return false;
  }
}

/** Whether a path's real place is inside one of the folders (real paths). */
export async function isInside(folders: readonly string[], path: string): Promise<boolean> {
  try {
    const real = await realPathOf(path);
    return folders.some((folder) => isWithin(folder, real));
  } catch {
    return false;
  }
}

/**
 * The first link at or below a folder that leads outside of the allowed folders; null when there is none.
 * @throws TokensieveError `too-many-files` (usage)
 */
export async function linkOutside(
  folders: readonly string[],
  path: string,
  left: Looks = { entries: MAX_ENTRIES },
): Promise<string | null> {
  const pending = [path];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    let entries: Awaited<ReturnType<typeof entriesOf>>;
    try {
      entries = await entriesOf(at);
    } catch {
      continue;
    }
    for (const entry of entries) {
      if (--left.entries < 0) {
        throw usageError(
          'too-many-files',
          `${path}: more than ${MAX_ENTRIES} files below what this pipeline names; name a folder further down`,
        );
      }
      const found = join(at, entry.name);
      if (entry.isDirectory()) pending.push(found);
      else if (entry.isSymbolicLink() && !(await isInside(folders, found))) return found;
    }
  }
  return null;
}

const entriesOf = (folder: string) => readdir(folder, { withFileTypes: true });
