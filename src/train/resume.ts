/** Whether a training run may go on from what its folder holds. */
import { fatalError, usageError } from '../errors.js';
import type { StoredCheckpoint } from './checkpoint.js';
import { checkpointFolders } from './checkpoints.js';

/** What the weights of a run follow from, by hash. */
export interface RunIdentity {
  readonly settings_hash: string;
  readonly data_hash: string;
}

/**
 * Damage to every checkpoint must not pass for a run that has none, to be begun again over its metrics.
 * @throws TokensieveError `bad-checkpoint` (fatal)
 */
export async function refuseDamaged(out: string): Promise<void> {
  const [newest] = await checkpointFolders(out);
  if (newest === undefined) return;
  throw fatalError(
    'bad-checkpoint',
    `${newest}: neither this checkpoint nor an older one is whole; put one back, or remove ${out} to start again`,
  );
}

/**
 * A checkpoint is gone on from only where settings, first weights and data are those it was made with.
 * @param identity of the run that is asked for
 * @throws TokensieveError `other-settings` (usage)
 */
export function checkSame(out: string, found: StoredCheckpoint, identity: RunIdentity): void {
  const { settings_hash, data_hash } = found.state;
  const changed = [
    ...(settings_hash === identity.settings_hash ? [] : ['settings or first weights']),
    ...(data_hash === identity.data_hash ? [] : ['data']),
  ];
  if (changed.length === 0) return;
  throw usageError(
    'other-settings',
    `${out}: holds a run with other ${changed.join(' and ')} (${found.folder}); name another --out, or remove that folder to start again`,
  );
}
