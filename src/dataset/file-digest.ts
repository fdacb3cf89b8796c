import { createHash } from 'node:crypto';
import type { Storage } from '../storage/storage.js';

/** Bytes hashed at a time. */
const CHUNK_BYTES = 1 << 22;

/** sha256 of an object of `size` bytes, in hex; one chunk of it is in memory. */
export async function fileDigest(storage: Storage, path: string, size: number): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    hash.update(await storage.readRange(path, at, Math.min(size, at + CHUNK_BYTES)));
  }
  return hash.digest('hex');
}
