/** Whether an object is still the one that a run began with. */
import { fatalError, TokensieveError } from '../errors.js';
import type { ObjectStat, Storage } from './storage.js';

/** By what the store tells of it: nothing is read. What a store does not tell cannot differ. */
export async function isUnchanged(storage: Storage, path: string, before: ObjectStat): Promise<boolean> {
  let now: ObjectStat;
  try {
    now = await storage.stat(path);
  } catch (error) {
    if (error instanceof TokensieveError && ['not-found', 'not-a-file'].includes(error.code)) return false;
    throw error;
  }
  const { size, etag, pin } = before;
  return now.size === size && now.etag === etag && now.pin === pin;
}

/**
 * Refuses an object that changed while it was read, before anything made of it is kept.
 * @param before what `stat` said before its first byte was read
 * @throws TokensieveError (fatal) `object-changed`
 */
export async function refuseChanged(storage: Storage, path: string, before: ObjectStat): Promise<void> {
  if (await isUnchanged(storage, path, before)) return;
  throw fatalError(
    'object-changed',
    `${path}: changed while it was being read; nothing made of it is kept: run the command again once it no longer changes`,
  );
}
