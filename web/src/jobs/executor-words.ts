import type { JobDetail } from '../api/types.js';

/** Who makes a job's parts, for people. */
export const EXECUTOR_WORDS: Readonly<Record<JobDetail['executor'], string>> = {
  local: 'local: one process of this service',
  queue: 'queue: the workers of a queue',
  array: 'array: several processes, a share each',
};
