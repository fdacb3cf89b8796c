import { useEffect } from 'preact/hooks';
import { getJson, jobPath } from '../api/request.js';
import { type Polled, usePolled } from '../common/polled.js';

export interface JobDataProps {
  readonly id: string;
  /** Whether the job is waiting or in work: what is listed may change. */
  readonly active: boolean;
}

const EVERY = 3000;

/** What stands below a job's address, asked for every few seconds while it may change, and once more at the end. */
export function useJobData<T>(id: string, path: string, active: boolean): Polled<T> {
  const polled = usePolled<T>(
    `${id}/${path}`,
    (signal) => getJson(`${jobPath(id)}/${path}`, signal),
    () => (active ? EVERY : null),
  );
  const { refresh } = polled;
  useEffect(refresh, [active, refresh]);
  return polled;
}
