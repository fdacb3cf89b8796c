import { setTimeout as wait } from 'node:timers/promises';
import { TokensieveError } from '../errors.js';
import { sizesBelow } from './sizes.js';
import type { Storage } from './storage.js';

/** Waits before the second, third and fourth try of a call, in milliseconds. */
const BACK_OFF = [100, 400, 1600] as const;

/**
 * The storage, with reads that fail in passing (errors of reach `retry`) tried again after a while. Calls that
 * write go through once: a staged file that failed is gone.
 * @throws TokensieveError the last try's
 */
export function retryingReads(storage: Storage, backOff: readonly number[] = BACK_OFF): Storage {
  const retried = async <T>(call: () => Promise<T>): Promise<T> => {
    for (const ms of backOff) {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof TokensieveError) || error.reach !== 'retry') throw error;
        await wait(ms);
      }
    }
    return call();
  };
  return {
    ...storage,
    stat: (path) => retried(() => storage.stat(path)),
    readRange: (path, start, end, version) => retried(() => storage.readRange(path, start, end, version)),
    list: (folder, options) => retried(() => storage.list(folder, options)),
    ...(storage.sizes && { sizes: (folder) => retried(() => sizesBelow(storage, folder)) }),
  };
}
