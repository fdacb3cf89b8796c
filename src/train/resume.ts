/** Whether a training run may go on from what its folder holds. */
import { existsSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fatalError, usageError } from '../errors.js';
import { absolutePath, isUrl, pathBelow } from '../storage/path.js';
import type { StoredCheckpoint } from './checkpoint.js';
import { checkpointFolders, removeFolder } from './checkpoints.js';
import { METRICS_FILE, MODEL_FOLDER, REPORT_FILE, TENSORBOARD_FOLDER } from './run-files.js';

/** What the weights of a run follow from, by hash. */
export interface RunIdentity {
  readonly settings_hash: string;
  readonly data_hash: string;
}

/**
 * Where no checkpoint is whole: damage to every one, and checkpoints that were taken away, must not pass for a run that has not
 * come to its first, to be begun again over its metrics and its model.
 * @throws TokensieveError `bad-checkpoint` (fatal); `no-checkpoint` (usage)
 */
export async function refuseRemains(out: string): Promise<void> {
  const [newest] = await checkpointFolders(out);
  if (newest === undefined) {
    const model = join(out, MODEL_FOLDER);
    if (!existsSync(model)) return;
    throw usageError(
      'no-checkpoint',
      `${model}: is there and no checkpoint that it was made from; put the checkpoints of this run back, name another --out, or begin again with --replace, which removes the model`,
    );
  }
  throw fatalError(
    'bad-checkpoint',
    `${newest}: neither this checkpoint nor an older one is whole; put one back, or begin again with --replace, which removes the run`,
  );
}

/**
 * A checkpoint is gone on from only where settings, first weights and data are those it was made with.
 * @param identity of the run that is asked for
 * @throws TokensieveError `other-settings` (usage)
 */
export function checkSame(out: string, found: StoredCheckpoint, identity: RunIdentity): void {
  const changed = changesOf(found, identity);
  if (changed.length === 0) return;
  throw usageError(
    'other-settings',
    `${out}: holds a run with other ${changed.join(' and ')} (${found.folder}); name another --out, or begin again with --replace, which removes that run`,
  );
}

/** What differs from the run that is asked for, in words; nothing where it can be gone on with. */
const changesOf = ({ state }: StoredCheckpoint, { settings_hash, data_hash }: RunIdentity): string[] => [
  ...(state.settings_hash === settings_hash ? [] : ['settings or first weights']),
  ...(state.data_hash === data_hash ? [] : ['data']),
];

/** With --replace: whether the folder holds a run of other settings or data, or one whose checkpoints are all damaged or gone. */
export async function isOther(
  out: string,
  found: StoredCheckpoint | null,
  identity: RunIdentity,
): Promise<boolean> {
  return found === null
    ? (await checkpointFolders(out)).length > 0 || existsSync(join(out, MODEL_FOLDER))
    : changesOf(found, identity).length > 0;
}

/**
 * What a run begins from must not go with the run that it replaces.
 * @param inputs paths of models, tokenizers and data
 * @throws TokensieveError `replaces-input` (usage)
 */
export function refuseOwnInputs(out: string, inputs: readonly (string | undefined)[]): void {
  const own = inputs.find(
    (path) => path !== undefined && !isUrl(path) && pathBelow(realOf(out), realOf(path)) !== null,
  );
  if (own === undefined) return;
  throw usageError(
    'replaces-input',
    `${own}: lies in ${out}, which --replace would remove; copy it elsewhere, or name another --out`,
  );
}

/** Its links resolved, where it is there. */
function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return absolutePath(path);
  }
}

/**
 * Removes a run, once the one that takes its place can begin. Checkpoints go first, so that a removal that is killed leaves
 * nothing that would be gone on from.
 */
export async function removeRun(out: string): Promise<void> {
  for (const folder of await checkpointFolders(out)) await removeFolder(folder);
  for (const name of [MODEL_FOLDER, TENSORBOARD_FOLDER, METRICS_FILE, REPORT_FILE]) {
    await rm(join(out, name), { recursive: true, force: true });
  }
}
