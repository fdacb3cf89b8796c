/**
 * Paths of every store as plain strings: file paths, or URLs (`s3://bucket/key`, `https://…`, `hf://datasets/…`).
 * node:path takes `s3://bucket` for a file and collapses it to `s3:/bucket`, so what is a storage path goes
 * through here.
 */

import { basename, dirname, join, normalize, relative, resolve, sep } from 'node:path';
import { usageError } from '../errors.js';

const URL_START = /^([a-z][a-z0-9+.-]+):\/\//i;

/** The scheme of a URL in lower case; null for a file path. */
export const schemeOf = (path: string): string | null => URL_START.exec(path)?.[1]?.toLowerCase() ?? null;

/**
 * What percent signs stand for in a part of a URL.
 * @param what the part, for the message; not the URL, which may hold a password
 * @throws TokensieveError (usage) `bad-url`
 */
export function percentDecoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usageError(
      'bad-url',
      `${what} has a % that begins no code of a character; write %25 for the sign itself`,
    );
  }
}

/**
 * A path that must be on local disk: node:path would make a folder named `s3:` of a URL.
 * @throws TokensieveError (usage) `local-only`
 */
export function localPath(path: string, setting: string): string {
  if (!isUrl(path)) return path;
  throw usageError('local-only', `${setting}: ${path}: is a URL, expected a folder on local disk`);
}

export const isUrl = (path: string): boolean => schemeOf(path) !== null;

const isHttp = (path: string): boolean => /^https?$/.test(schemeOf(path) ?? '');

/** Scheme and host (bucket) of a URL; the empty string for file paths. */
export const rootOf = (path: string): string => /^[a-z][a-z0-9+.-]+:\/\/[^/?#]*/i.exec(path)?.[0] ?? '';

/** A URL without query and fragment where these are not part of its name (http). */
export const withoutQuery = (path: string): string => (isHttp(path) ? path.replace(/[?#].*$/s, '') : path);

/** The names below a folder. */
export function joinPath(folder: string, ...names: readonly string[]): string {
  if (!isUrl(folder)) return join(folder, ...names);
  return [folder.replace(/\/+$/, ''), ...names.filter((name) => name !== '')].join('/');
}

/** One spelling of a path, for comparing it with others of its kind; relative file paths stay relative. */
export const normalPath = (path: string): string =>
  isUrl(path) ? path.replace(/(?<!:\/?)\/+$/, '') : normalize(path);

/** One spelling of a path, whatever folder the process is in. */
export const absolutePath = (path: string): string => (isUrl(path) ? normalPath(path) : resolve(path));

export const folderOf = (path: string): string =>
  isUrl(path) ? normalPath(path).replace(/\/[^/]*$/, '') : dirname(path);

export const nameOf = (path: string): string =>
  isUrl(path) ? (withoutQuery(normalPath(path)).split('/').at(-1) ?? '') : basename(path);

/** The path of a file below `folder`, with `/` between its names; null where it is not below it. */
export function pathBelow(folder: string, path: string): string | null {
  if (isUrl(folder)) {
    const start = `${normalPath(folder)}/`;
    return path.startsWith(start) ? path.slice(start.length) : null;
  }
  const name = relative(folder, path).split(sep).join('/');
  return name === '..' || name.startsWith('../') ? null : name;
}
