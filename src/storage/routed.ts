/** The storage that commands use: each path goes to the store that its scheme names. */
import { usageError } from '../errors.js';
import { hfStorage } from './hf.js';
import { httpStorage } from './http.js';
import { localStorage } from './local.js';
import { schemeOf } from './path.js';
import type { PatienceSettings } from './patience.js';
import { retryingReads } from './retrying.js';
import { sizesBelow } from './sizes.js';
import type { Storage } from './storage.js';

export interface RoutedOptions {
  /** How remote stores are asked again. */
  readonly patience?: PatienceSettings;
}

const KNOWN = 'a local path, s3://, http://, https:// or hf://datasets/';

/**
 * Local paths, `s3://`, `http(s)://` and `hf://` (both read only). What a store must know for the length of a run, as which connections are
 * open and how long it asked to wait, is this storage's: make one a run.
 */
export function routedStorage({ patience }: RoutedOptions = {}): Storage {
  const local = retryingReads(localStorage());
  const http = once(async () => httpStorage(patience));
  const hf = once(async () => hfStorage(patience));
  const s3 = once(async () => (await import('./s3.js')).s3Storage(patience));

  const storeOf = (path: string): Promise<Storage> | Storage => {
    const scheme = schemeOf(path);
    if (scheme === null) return local;
    if (scheme === 'http' || scheme === 'https') return http();
    if (scheme === 's3') return s3();
    if (scheme === 'hf') return hf();
    throw usageError('unknown-scheme', `${path}: no store is known by ${scheme}://; expected ${KNOWN}`);
  };
  const storage: Storage = {
    stat: async (path) => (await storeOf(path)).stat(path),
    readRange: async (path, start, end, version) =>
      (await storeOf(path)).readRange(path, start, end, version),
    list: async (folder, options) => (await storeOf(folder)).list(folder, options),
    sizes: async (folder) => sizesBelow(await storeOf(folder), folder),
    stage: async (path, options) => (await storeOf(path)).stage(path, options),
    remove: async (path) => (await storeOf(path)).remove(path),
    sweep: async (folder) => (await (await storeOf(folder)).sweep?.(folder)) ?? [],
  };
  made.set(storage, patience === undefined ? {} : { patience });
  return storage;
}

const made = new WeakMap<Storage, RoutedOptions>();

/** What a storage was made with, so that another thread can open one like it; null where it is not of `routedStorage`. */
export const routedOptions = (storage: Storage): RoutedOptions | null => made.get(storage) ?? null;

/** Opens a store when it is first asked for: a run on local files loads no client. */
function once(open: () => Promise<Storage>): () => Promise<Storage> {
  let opened: Promise<Storage> | undefined;
  return () => {
    opened ??= open();
    return opened;
  };
}
