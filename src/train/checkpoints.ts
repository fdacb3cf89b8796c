/** The checkpoints of a run, taken together: the newest one that is whole, old ones removed, leftovers swept. */
import type { Dirent } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { TokensieveError } from '../errors.js';
import { ioError } from '../storage/io-error.js';
import { sweepStaging } from '../storage/local.js';
import { isAbandoned, stagingName } from '../storage/staging.js';
import {
  checkpointsFolder,
  isDamage,
  readCheckpoint,
  type StoredCheckpoint,
  stepName,
} from './checkpoint.js';
import { damaged, STATE_FILE } from './checkpoint-state.js';
import { modelFolder } from './publish-model.js';

/**
 * The newest checkpoint of a run that is whole, every byte checked; null when there is none.
 * @param onDamaged told of each newer one that is not, and is passed over
 * @throws what reading throws otherwise: a disk that fails is no reason to train the same steps again
 */
export async function latestCheckpoint(
  out: string,
  onDamaged: (error: TokensieveError) => void = () => {},
): Promise<StoredCheckpoint | null> {
  for (const folder of await checkpointFolders(out)) {
    try {
      return await readNamed(folder);
    } catch (error) {
      if (!isDamage(error)) throw error;
      onDamaged(error);
    }
  }
  return null;
}

/** A copied or renamed folder would be taken for another step's. */
async function readNamed(folder: string): Promise<StoredCheckpoint> {
  const checkpoint = await readCheckpoint(folder);
  if (stepName(checkpoint.state.step) === basename(folder)) return checkpoint;
  throw damaged(join(folder, STATE_FILE), `has field step: ${checkpoint.state.step}, unlike its folder`);
}

/**
 * Removes all but the newest `keep` checkpoints, and never the newest that is whole.
 * @returns the folders removed
 */
export async function pruneCheckpoints(out: string, keep: number): Promise<readonly string[]> {
  const folders = await checkpointFolders(out);
  const old = folders.slice(Math.max(1, keep));
  // Only here is there something to lose: the check reads every byte of a checkpoint.
  const whole = old.length === 0 ? null : await latestCheckpoint(out);
  const removed = old.filter((folder) => folder !== whole?.folder);
  for (const folder of whole === null ? [] : removed) await removeFolder(folder);
  return whole === null ? [] : removed;
}

/** Renamed first: a reader never sees half a checkpoint, and a killed removal leaves what is swept. */
export async function removeFolder(folder: string): Promise<void> {
  const aside = join(folder, '..', stagingName(basename(folder)));
  try {
    await rename(folder, aside);
    await rm(aside, { recursive: true, force: true });
  } catch (error) {
    throw ioError('remove', folder, error);
  }
}

/**
 * Removes what dead processes of this host left half-written or half-removed. To be called before a run writes.
 * @returns the paths removed
 */
export async function sweepCheckpoints(out: string): Promise<readonly string[]> {
  const abandoned: string[] = [];
  for (const folder of [out, checkpointsFolder(out)]) {
    for (const { name } of await entries(folder)) if (isAbandoned(name)) abandoned.push(join(folder, name));
  }
  for (const path of abandoned) await rm(path, { recursive: true, force: true });
  return [...abandoned, ...(await sweepStaging(modelFolder(out)))];
}

/** A run's checkpoints, newest first, whole or not. */
export async function checkpointFolders(out: string): Promise<string[]> {
  const parent = checkpointsFolder(out);
  return (await entries(parent))
    .filter((entry) => entry.isDirectory() && /^step-\d{8,16}$/.test(entry.name))
    .map(({ name }) => ({ name, step: Number(name.slice('step-'.length)) }))
    .sort((a, b) => b.step - a.step)
    .map(({ name }) => join(parent, name));
}

async function entries(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    const reason = ioError('list', folder, error);
    if (reason.code === 'not-found') return [];
    throw reason;
  }
}
