/** Which share of a run an array job's process has: from flags, else from what Slurm or Kubernetes tell it. */
import { usageError } from '../errors.js';
import type { Share } from './share.js';

/** More processes than this share no run. */
const MAX_COUNT = 100_000;

export interface ArrayFlags {
  readonly index?: number | undefined;
  readonly count?: number | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Slurm: `SLURM_ARRAY_TASK_ID`, with `_MIN`, `_MAX`, `_STEP` and `_COUNT`; ids may start anywhere and have any step.
 * Kubernetes: `JOB_COMPLETION_INDEX`, which an Indexed Job sets, and `JOB_COMPLETIONS`, which its manifest must set,
 * since Kubernetes tells no count. Flags go over both, each by itself.
 * @throws TokensieveError (usage) `no-array` when nothing tells the share; `bad-array` when what is told cannot be one
 */
export function arrayShare(flags: ArrayFlags, environment: Environment): Share {
  const told =
    flags.index !== undefined && flags.count !== undefined
      ? null
      : (slurmShare(environment) ?? kubernetesShare(environment));
  const index = flags.index ?? told?.index;
  const count = flags.count ?? told?.count;
  if (index === undefined || count === undefined) {
    throw usageError(
      'no-array',
      `no array ${index === undefined ? 'index' : 'count'}: give --array-index and --array-count, or start this as a Slurm array task or in a Kubernetes Indexed Job with JOB_COMPLETIONS set`,
    );
  }
  if (!Number.isInteger(count) || count < 1 || count > MAX_COUNT) {
    throw usageError('bad-array', `array count ${count}: expected an integer of 1 to ${MAX_COUNT}`);
  }
  if (!Number.isInteger(index) || index < 0 || index >= count) {
    throw usageError('bad-array', `array index ${index}: expected an integer of 0 to ${count - 1}`);
  }
  return { index, count };
}

function slurmShare(environment: Environment): Share | null {
  const id = numberOf(environment, 'SLURM_ARRAY_TASK_ID');
  if (id === null) return null;
  const minimum = numberOf(environment, 'SLURM_ARRAY_TASK_MIN');
  const maximum = numberOf(environment, 'SLURM_ARRAY_TASK_MAX');
  const count = numberOf(environment, 'SLURM_ARRAY_TASK_COUNT');
  if (minimum === null || maximum === null || count === null) {
    throw usageError(
      'bad-array',
      'SLURM_ARRAY_TASK_ID is set, but not SLURM_ARRAY_TASK_MIN, _MAX and _COUNT; give --array-index and --array-count',
    );
  }
  const step = Math.max(1, numberOf(environment, 'SLURM_ARRAY_TASK_STEP') ?? 1);
  const index = (id - minimum) / step;
  // Of an irregular list (--array=1,3,4) Slurm tells the ends and the number only: which place an id has is not known.
  if (!Number.isInteger(index) || minimum + (count - 1) * step !== maximum) {
    throw usageError(
      'bad-array',
      `Slurm array of ${count} tasks from ${minimum} to ${maximum} by ${step}: not evenly spaced, so that the place of task ${id} is not known; submit a range (--array=0-${count - 1}), or give --array-index and --array-count`,
    );
  }
  return { index, count };
}

function kubernetesShare(environment: Environment): { index: number; count?: number } | null {
  const index = numberOf(environment, 'JOB_COMPLETION_INDEX');
  if (index === null) return null;
  const count = numberOf(environment, 'JOB_COMPLETIONS');
  return { index, ...(count !== null && { count }) };
}

function numberOf(environment: Environment, name: string): number | null {
  const text = environment[name];
  if (text === undefined || text === '') return null;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw usageError('bad-array', `${name}=${text.slice(0, 40)}: expected a whole number`);
}
