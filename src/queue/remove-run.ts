/**
 * Taking a run out of a queue. Jobs that wait go at once; a job in work is locked, so the run is marked, and whoever is
 * at one of its stages looks for the mark before it adds anything. The mark stays for those that follow the run, or that
 * find a job of it which was added in the meantime, and goes when the run is put in again.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { type JobType, type Queue, UnrecoverableError } from 'bullmq';
import { isLongJob, runOfJob } from './jobs.js';

/** How long a mark stays; nothing of a run is in work for longer without having seen it. */
const MARK_SECONDS = 7 * 86_400;
/** Ids listed at a time. */
const PAGE = 10_000;
/** Jobs removed at a time. */
const AT_ONCE = 100;
/** Time between two looks at what is still in work. */
const LOOK_MS = 250;

/**
 * Where jobs may lie. Stages go before their parts: a stage whose last part goes is handed out again. Of those in work,
 * the ones without a lock go, which are of workers that died.
 */
const STATES: readonly (readonly JobType[])[] = [
  ['waiting-children'],
  ['wait', 'prioritized', 'delayed', 'failed', 'completed', 'active'],
];

/** A job of a run that was removed: it ends, leaves nothing behind, and is not tried again. */
export class RunRemoved extends UnrecoverableError {
  constructor() {
    super('its run was removed from the queue');
  }
}

export interface RemovedRun {
  readonly run: string;
  /** Jobs taken out. */
  readonly jobs: number;
  /** Jobs still in work: a part ends by itself, a stage within seconds. Neither adds anything. */
  readonly at_work: number;
}

const markOf = (queue: Queue, run: string): string => `${queue.toKey('removed')}:${run}`;

export async function isRemoved(queue: Queue, run: string): Promise<boolean> {
  return (await (await queue.getBackend().client).get(markOf(queue, run))) !== null;
}

/** @throws RunRemoved */
export async function refuseRemoved(queue: Queue, run: string): Promise<void> {
  if (await isRemoved(queue, run)) throw new RunRemoved();
}

/**
 * Takes everything of a run out of the queue. What its parts have made stays.
 * @param patience milliseconds to wait for what is in work
 */
export async function removeRun(queue: Queue, run: string, patience = 0): Promise<RemovedRun> {
  const client = await queue.getBackend().client;
  await client.set(markOf(queue, run), '1', { EX: MARK_SECONDS });
  let jobs = 0;
  for (const until = Date.now() + patience; ; await wait(LOOK_MS)) {
    let taken = 0;
    for (const states of STATES) taken += await removeUnlocked(queue, run, states);
    jobs += taken;
    const { length: at_work } = await inWork(queue, run);
    // Once more after the last one: a stage may have added parts before it saw the mark.
    if (taken === 0 && (at_work === 0 || Date.now() >= until)) return { run, jobs, at_work };
  }
}

/**
 * Makes room for a run that is put in again after it was removed: waits until no worker is at a long job of it, which
 * has perhaps seen the mark and would end the new one for the old, and takes the mark away. A part in work is taken over
 * by the new run, since it ends as it would have ended.
 */
export async function forgetRemoval(queue: Queue, run: string, signal?: AbortSignal): Promise<void> {
  if (!(await isRemoved(queue, run))) return;
  for (;;) {
    signal?.throwIfAborted();
    await removeRun(queue, run);
    if (!(await inWork(queue, run)).some(isLongJob)) break;
    await wait(LOOK_MS, undefined, { ...(signal && { signal }) });
  }
  await (await queue.getBackend().client).del(markOf(queue, run));
}

/** Ids of a run's jobs that workers are at. */
async function inWork(queue: Queue, run: string): Promise<readonly string[]> {
  return (await queue.getRanges(['active'], 0, -1)).filter((id) => runOfJob(id) === run);
}

async function removeUnlocked(queue: Queue, run: string, states: readonly JobType[]): Promise<number> {
  const own: string[] = [];
  for (const state of states) {
    for (let from = 0; ; from += PAGE) {
      const ids = await queue.getRanges([state], from, from + PAGE - 1);
      own.push(...ids.filter((id) => runOfJob(id) === run));
      if (ids.length < PAGE) break;
    }
  }
  let removed = 0;
  for (let from = 0; from < own.length; from += AT_ONCE) {
    const some = own.slice(from, from + AT_ONCE);
    // One that a worker is at is locked, and stays: 0.
    const gone = await Promise.all(some.map((id) => queue.remove(id, { removeChildren: false })));
    removed += gone.reduce((sum, one) => sum + one, 0);
  }
  return removed;
}
