import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it. Node's recursive mkdir says ENOENT where the disk has no room for another folder
 * (libuv's error is lost when it looks at the path again): the folder that could not be made is asked for alone.
 * @returns the first folder that was made; undefined where all were there
 */
export async function makeFolder(folder: string): Promise<string | undefined> {
  try {
    return await mkdir(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    await mkdir(await highestMissing(folder));
    throw error;
  }
}

async function highestMissing(folder: string): Promise<string> {
  const above = dirname(folder);
  if (above === folder) return folder;
  const isThere = await stat(above).then(
    () => true,
    () => false,
  );
  return isThere ? folder : highestMissing(above);
}
