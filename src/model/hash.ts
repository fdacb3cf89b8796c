/** Hashes of model files, computed once: a big model takes a minute to read, and is opened often. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { CheckpointFile } from './checkpoint.js';

const memoSchema = z.object({ identity: z.string(), sha256: z.string().length(64) });

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * sha256 over the names and bytes of `files`: of the lines `name TAB sha256-of-bytes`, in order of name.
 * A file's own hash is remembered in `cacheFolder` (null: not at all) under its path, size, times and inode.
 */
export async function hashModel(
  files: readonly CheckpointFile[],
  cacheFolder: string | null,
): Promise<string> {
  const lines: string[] = [];
  for (const { name, path } of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    lines.push(`${name}\t${await hashFile(path, cacheFolder)}\n`);
  }
  return sha256(lines.join(''));
}

async function hashFile(path: string, cacheFolder: string | null): Promise<string> {
  if (cacheFolder === null) return hashBytes(path);
  const { size, mtimeNs, ctimeNs, ino, dev } = await stat(path, { bigint: true });
  const identity = `${path}\t${size}\t${mtimeNs}\t${ctimeNs}\t${dev}:${ino}`;
  const folder = join(cacheFolder, 'hashes');
  const memoPath = join(folder, `${sha256(path)}.json`);
  const memo = await readMemo(memoPath);
  if (memo?.identity === identity) return memo.sha256;
  const hash = await hashBytes(path);
  await writeMemo(folder, memoPath, { identity, sha256: hash });
  return hash;
}

/** A cache that cannot be written costs the time of hashing again, nothing more. */
async function writeMemo(folder: string, path: string, memo: z.infer<typeof memoSchema>): Promise<void> {
  const staging = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(staging, JSON.stringify(memo));
    await rename(staging, path);
  } catch {
    await rm(staging, { force: true }).catch(() => undefined);
  }
}

async function readMemo(path: string): Promise<z.infer<typeof memoSchema> | null> {
  try {
    return memoSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null; // Absent or damaged: the file is hashed again.
  }
}

/** sha256 of a file's bytes, in hex. */
export async function hashBytes(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
