import { randomBytes } from 'node:crypto';
import { isActive, nextState } from './lifecycle.js';
import { stopAnnounced } from './process.js';
import { inState, type JobRecord } from './record.js';
import type { JobStore } from './store.js';

/**
 * Takes up a job as the last service left it: its processes are stopped if they still run, and it goes before all that
 * wait. One that was being cancelled is cancelled now, or, where its run goes on in a queue, stays `cancelling` until it
 * has been taken out there.
 * @returns its record as it is now, and how many processes were stopped
 */
export async function recoverJob(
  record: JobRecord,
  store: JobStore,
  graceMs: number,
): Promise<{ readonly record: JobRecord; readonly stopped: number }> {
  if (record.attempt === null && !isActive(record.state)) return { record, stopped: 0 };
  // A process that is only just starting finds another attempt in job.json, and ends.
  await store.save({ ...record, attempt: randomBytes(8).toString('hex') });
  const stopped = await stopAnnounced(store.files(record.id).folder, graceMs);
  const isElsewhere = record.state === 'cancelling' && record.queued_run !== null;
  const state = isElsewhere ? null : nextState(record.state, { kind: 'hand-back' });
  const back = state === null ? record : inState(record, state, new Date().toISOString(), true);
  await store.save({ ...back, attempt: null });
  return { record: { ...back, attempt: null }, stopped };
}
