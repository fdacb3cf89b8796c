/** Hashes of model files, computed once: a big model takes a minute to read, and is opened often. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { FilePin } from '../storage/file-pin.js';
import type { HashedFile, ModelFile } from './model-file.js';

const memoSchema = z.object({ identity: z.string(), sha256: z.string().length(64), digest: z.string() });
type Memo = z.infer<typeof memoSchema>;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export interface ModelHash {
  /** sha256 over the names and bytes of the files: of the lines `name TAB sha256-of-bytes`, in order of name. */
  readonly hash: string;
  /** Each file with what it was before it was hashed. */
  readonly files: readonly HashedFile[];
}

/**
 * The hash of a model. A file's own hash is remembered in `cacheFolder` (null: not at all) under its path, size, times and
 * inode.
 */
export async function hashModel(files: readonly ModelFile[], cacheFolder: string | null): Promise<ModelHash> {
  const lines: string[] = [];
  const hashed: HashedFile[] = [];
  for (const { name, path, pin } of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const own = await hashFile({ path, pin }, cacheFolder);
    lines.push(`${name}\t${own}\n`);
    hashed.push({ path, pin, sha256: own });
  }
  return { hash: sha256(lines.join('')), files: hashed };
}

/** Under the pin of before: a file that changes while it is hashed has another one by then, and is hashed again. */
async function hashFile({ path, pin }: FilePin, cacheFolder: string | null): Promise<string> {
  if (cacheFolder === null) return hashBytes(path);
  const identity = `${path}\t${pin}`;
  const folder = join(cacheFolder, 'hashes');
  const memoPath = join(folder, `${sha256(path)}.json`);
  const memo = await readMemo(memoPath);
  if (memo?.identity === identity) return memo.sha256;
  const hash = await hashBytes(path);
  await writeMemo(folder, memoPath, { identity, sha256: hash, digest: digestOf(identity, hash) });
  return hash;
}

/** A memo that was damaged would give a model the hash of another one. */
const digestOf = (identity: string, hash: string): string => sha256(`${identity}\n${hash}`);

/** A cache that cannot be written costs the time of hashing again, nothing more. */
async function writeMemo(folder: string, path: string, memo: Memo): Promise<void> {
  const staging = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(staging, JSON.stringify(memo));
    await rename(staging, path);
  } catch {
    await rm(staging, { force: true }).catch(() => undefined);
  }
}

async function readMemo(path: string): Promise<Memo | null> {
  try {
    const memo = memoSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    return memo.digest === digestOf(memo.identity, memo.sha256) ? memo : null;
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
