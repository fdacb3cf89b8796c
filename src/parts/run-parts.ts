/**
 * The driver of everything that is made of parts: a process of its own, or one of an array. Running it again after any
 * interruption finishes the rest; the files are the same bytes for any number of workers and of shares.
 */
import { firstLine } from '../errors.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import { doTask } from './do-task.js';
import { findWork, type Work } from './find-work.js';
import { keptOfAll } from './kept-of-all.js';
import { runLanes } from './lanes.js';
import { clearLeftovers } from './leftovers.js';
import type { AnyManifest } from './manifests.js';
import type { BrokenShard, JobPlan, Lane, PartsJob, PartsOptions } from './parts-job.js';
import { tasksOfShare } from './share.js';
import { openWorkerNotes, writePlanNotes } from './worker-notes.js';

/** Damaged parts told of one by one; a disk that lost a folder should not fill a log. */
const MAX_LINES = 20;

/** With a share, all of it is the share's. */
export interface PartsOutcome<Kept> {
  /** What is kept of the parts' manifests, in the order of the plan. */
  readonly kept: readonly Kept[];
  readonly shards: number;
  /** Parts found done before this run. */
  readonly resumed: number;
  /** Finished parts found damaged, which this run made again. */
  readonly damaged: number;
  readonly broken: readonly BrokenShard[];
  readonly seconds: number;
}

/**
 * Makes every part that has no matching manifest.
 * @throws TokensieveError `stale-parts` and `folder-busy` (usage); whatever making a part throws
 */
export async function runParts<Task, L extends Lane, M extends AnyManifest, Kept>(
  job: PartsJob<Task, L, M, Kept>,
  given: PartsOptions,
): Promise<PartsOutcome<Kept>> {
  const started = performance.now();
  const { storage, share } = given;
  const { out, kind, identity, handedOn } = job;
  const claim = await claimFolder(out, identity, storage);
  try {
    const executor = share === undefined ? 'local' : 'array';
    const worker = { executor, share, kind, recipe: identity, handedOn } as const;
    const notes = await openWorkerNotes(storage, job.notes ?? out, worker, given.sink);
    const options = { ...given, sink: notes.sink, signal: claimedSignal(given.signal, claim) };
    try {
      await storage.sweep?.(job.manifests.folder);
      const { work, plan } = await planParts(job, options);
      const made = await runTasks(work, job, options);
      const keptOf = byTask(work.done, made);
      await job.finish?.(options, () => keptOfAll(job, plan.tasks, keptOf, storage));
      // Before it is told as done: what a removed folder held went with it.
      await claim.check?.();
      const kept = plan.tasks.flatMap((task) => keptOf.get(task) ?? []);
      await notes.close('done', { whole: kept.length });
      return {
        kept,
        shards: plan.shards,
        resumed: work.done.length,
        damaged: work.damaged.length,
        broken: plan.broken,
        seconds: (performance.now() - started) / 1000,
      };
    } catch (error) {
      await notes.close(given.signal.aborted ? 'stopped' : 'failed', { error: firstLine(error) });
      throw error;
    }
  } finally {
    await claim.release();
  }
}

/** What is kept of the parts of each task, those that were done before first. */
function byTask<Task, Kept>(
  done: readonly { readonly task: Task; readonly kept: Kept }[],
  made: ReadonlyMap<Task, readonly Kept[]>,
): ReadonlyMap<Task, readonly Kept[]> {
  const all = new Map<Task, Kept[]>();
  const add = (task: Task, kept: Kept): void => {
    const known = all.get(task);
    if (known === undefined) all.set(task, [kept]);
    else known.push(kept);
  };
  for (const { task, kept } of done) add(task, kept);
  for (const [task, some] of made) for (const kept of some) add(task, kept);
  return all;
}

/**
 * What there is to do: the job's plan and one listing of the output folder. Leftovers are removed, or refused.
 * @throws TokensieveError `stale-parts` (usage) unless `replace`
 */
export async function planParts<Task, L extends Lane, M extends AnyManifest, Kept>(
  job: PartsJob<Task, L, M, Kept>,
  options: Omit<PartsOptions, 'signal'>,
): Promise<{ readonly work: Work<Task, M, Kept>; readonly plan: JobPlan<Task> }> {
  const { storage, sink, share } = options;
  const plan = await job.plan(sink);
  const own = share === undefined ? plan.tasks : tasksOfShare(plan.tasks, share, job.textBytes);
  const work = await findWork(job, plan, own, options);
  // Of this run's fingerprint, so that nothing else would tell them from new ones.
  for (const path of work.outdated) await storage.remove(path);
  await clearLeftovers(job.manifests, work.leftovers, options);
  for (const line of work.damaged.slice(0, MAX_LINES)) {
    sink({ event: 'warning', message: `damaged part, made again: ${line}` });
  }
  const more = work.damaged.length - MAX_LINES;
  if (more > 0) sink({ event: 'warning', message: `and ${more} more damaged part(s), made again` });
  const textBytes = (tasks: readonly Task[]): number =>
    tasks.reduce((sum, task) => sum + job.textBytes(task), 0);
  const rules = (await job.notedRules?.(storage, work.before)) ?? null;
  await writePlanNotes(storage, job.notes ?? job.out, {
    version: 1,
    kind: job.kind,
    recipe: job.identity,
    shards: plan.shards,
    broken_shards: plan.broken.length,
    parts: plan.tasks.length,
    streams: plan.tasks.filter((task) => job.placeOf(task).part === null).length,
    text_bytes: textBytes(plan.tasks),
    ...(rules !== null && { rules }),
  });
  sink({
    event: 'planned',
    shards: plan.shards,
    parts: own.length,
    done: work.done.length,
    text_bytes: textBytes(own),
    done_bytes: work.doneBytes,
  });
  return { work, plan };
}

/** The lanes of one process take task after task, in the order of the plan. What is kept of the parts made, by task. */
async function runTasks<Task, L extends Lane, M extends AnyManifest, Kept>(
  { tasks, doneBefore }: Work<Task, M, Kept>,
  job: PartsJob<Task, L, M, Kept>,
  options: PartsOptions,
): Promise<ReadonlyMap<Task, readonly Kept[]>> {
  const made = new Map<Task, readonly Kept[]>();
  const lanes = Math.max(1, Math.min(job.workers, tasks.length));
  await runLanes(
    tasks,
    lanes,
    options.signal,
    () => job.open(lanes, options.signal),
    async (task, lane, signal) => {
      const manifests = await doTask(job, task, lane, {
        ...options,
        signal,
        doneBefore: doneBefore.get(task),
      });
      made.set(task, manifests.map(job.keep));
    },
  );
  return made;
}
