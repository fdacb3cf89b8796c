/** Small files of a model's or a run's folder, which somebody else may have filled. */
import { readFile, stat } from 'node:fs/promises';
import { utf8Text } from '../utf8.js';

/** Refuses what is not a plain file: a pipe would be waited for, a device has no end. @returns its bytes */
export async function plainFileSize(path: string): Promise<number> {
  const found = await stat(path);
  if (!found.isFile()) throw new Error('is not a plain file');
  return found.size;
}

/**
 * The text of a plain file.
 * @throws Error whose message says in a few words what is wrong; that of the system when the file cannot be read
 */
export async function readText(path: string, maxBytes: number): Promise<string> {
  const bytes = await plainFileSize(path);
  if (bytes > maxBytes) throw new Error(`has ${bytes} bytes, at most ${maxBytes} are read`);
  return utf8Text(await readFile(path));
}
