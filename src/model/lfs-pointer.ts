/** Git-LFS pointers: three lines of text that a clone without git-lfs leaves in the place of a large file. */
import { open, stat } from 'node:fs/promises';
import { fatalError } from '../errors.js';

const START = 'version https://git-lfs.github.com/spec/';
/** The format's own limit. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
const MAX_POINTER_BYTES = 1024;

export const isLfsPointer = (head: Buffer): boolean => head.toString('latin1', 0, START.length) === START;

export const lfsSentence = (path: string): string =>
  `${path}: is a Git-LFS pointer, three lines of text in the place of the file; run git lfs pull in the folder, or fetch the file by its own address`;

/**
 * Refuses a pointer. What is not there, or cannot be read, is for its own reader to tell.
 * @throws fatal `git-lfs-pointer`
 */
export async function refuseLfsPointer(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size > MAX_POINTER_BYTES) return;
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return;
  try {
    const head = Buffer.alloc(START.length);
    await file.read(head, 0, head.length, 0);
    if (isLfsPointer(head)) throw fatalError('git-lfs-pointer', lfsSentence(path));
  } finally {
    await file.close();
  }
}
