/**
 * OUT/model: the newest weights as a plain Hugging Face folder, without the trainer's state. Files are hard links
 * to the checkpoint's, so that a checkpoint can be pruned and no byte is stored twice.
 *
 * Between two checkpoints of a run only the weights differ, and one rename puts them in place. Where anything
 * else differs (another run into the same folder) the folder is replaced whole. Killed at any moment, the
 * folder is the old model, the new one, or not there.
 */
import { copyFile, link, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hashBytes } from '../model/hash.js';
import { ioError } from '../storage/io-error.js';
import { syncFolders } from '../storage/local.js';
import { isStagingName, stagingName } from '../storage/staging.js';
import { moveInPlace, type StoredCheckpoint } from './checkpoint.js';
import { type FileRecord, MOMENTS_FILE, WEIGHTS_FILE } from './checkpoint-state.js';
import { MODEL_FOLDER } from './run-files.js';

export const modelFolder = (out: string): string => join(out, MODEL_FOLDER);

/**
 * Makes OUT/model the model of `checkpoint`, which `readCheckpoint` has checked.
 * @returns OUT/model
 */
export async function publishModel(out: string, checkpoint: StoredCheckpoint): Promise<string> {
  const folder = modelFolder(out);
  const files = checkpoint.state.files.filter(({ name }) => name !== MOMENTS_FILE);
  try {
    if (await hasAllBut(folder, files, WEIGHTS_FILE))
      await replaceFile(checkpoint.folder, folder, WEIGHTS_FILE);
    else await replaceFolder(checkpoint.folder, out, folder, files);
  } catch (error) {
    throw ioError('write', folder, error);
  }
  return folder;
}

/** Whether the folder has exactly these files, with these bytes but for one of them. */
async function hasAllBut(folder: string, files: readonly FileRecord[], but: string): Promise<boolean> {
  const found = await readdir(folder).catch(() => []);
  const names = found.filter((name) => !isStagingName(name));
  if (names.length !== files.length) return false;
  for (const { name, sha256 } of files) {
    if (!names.includes(name)) return false;
    if (name !== but && (await hashBytes(join(folder, name))) !== sha256) return false;
  }
  return true;
}

async function replaceFile(from: string, into: string, name: string): Promise<void> {
  const staging = join(into, stagingName(name));
  try {
    await linkOrCopy(join(from, name), staging);
    await rename(staging, join(into, name));
    await syncFolders(into, undefined);
  } finally {
    // A rename between two links to one file does nothing, not even away with the first.
    await rm(staging, { force: true });
  }
}

async function replaceFolder(
  from: string,
  out: string,
  folder: string,
  files: readonly FileRecord[],
): Promise<void> {
  const staging = join(out, stagingName('model'));
  try {
    await mkdir(staging);
    for (const { name } of files) await linkOrCopy(join(from, name), join(staging, name));
    await syncFolders(staging, undefined);
    await moveInPlace(staging, folder);
    await syncFolders(out, undefined);
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

/** File systems without hard links get a copy, as durable as what it is a copy of. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to);
    const file = await open(to, 'r+');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
