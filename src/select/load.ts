import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { firstLine, usageError } from '../errors.js';
import type { Method } from './method.js';
import { methodNamed } from './methods.js';

/** A method and what tells its weights from another's: goes into the fingerprint of the output. */
export interface LoadedMethod {
  readonly method: Method;
  /** `slm@1`, or `sha256:…` of the file for a method of the user's own. */
  readonly identity: string;
}

const digestOf = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/** Whether a method is named by the path of a module, which is code of its user's own. */
export const isMethodFile = (name: string): boolean => /[\\/]|\.m?js$/.test(name);

/**
 * The method of `select.method`: a name, or the path of an ES module whose default export is a `Method`.
 * The file's own imports are not part of its identity: keep a method in one file.
 * @throws usage `unknown-method`, `method-not-loaded`, `not-a-method`
 */
export async function loadMethod(name: string): Promise<LoadedMethod> {
  if (!isMethodFile(name)) {
    const method = methodNamed(name);
    return { method, identity: `${method.name}@${method.version}` };
  }
  const path = resolve(name);
  try {
    const digest = await digestOf(path);
    // Modules are kept by their names: under one of its own, a file that has changed since is loaded anew.
    const loaded: { readonly default?: unknown } = await import(
      `${pathToFileURL(path).href}?sha256=${digest}`
    );
    if ((await digestOf(path)) !== digest) throw new Error('it changed while it was loaded');
    if (isMethod(loaded.default)) return { method: loaded.default, identity: `sha256:${digest}` };
  } catch (cause) {
    throw usageError('method-not-loaded', `${name} could not be loaded as a method: ${firstLine(cause)}`, {
      cause,
    });
  }
  throw usageError(
    'not-a-method',
    `${name} has no default export with name, version, summary, source and plan(settings); see docs/methods.md`,
  );
}

function isMethod(value: unknown): value is Method {
  if (typeof value !== 'object' || value === null) return false;
  const { name, version, summary, source, plan } = value as Partial<Record<keyof Method, unknown>>;
  return (
    typeof name === 'string' &&
    typeof version === 'number' &&
    typeof summary === 'string' &&
    typeof source === 'string' &&
    typeof plan === 'function'
  );
}
