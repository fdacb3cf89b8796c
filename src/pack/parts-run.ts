import { firstLine } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import { tellDamaged } from '../parts/damaged-parts.js';
import type { EventSink } from '../parts/events.js';
import { runLanes } from '../parts/lanes.js';
import { type Share, tasksOfShare } from '../parts/share.js';
import { type Counted, type Totals, totalsOf } from '../parts/totals.js';
import { openWorkerNotes, type PlanNotes, writePlanNotes } from '../parts/worker-notes.js';
import { RULES_DATE } from '../rules/changes.js';
import { notedRules } from '../rules/noted.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import type { Storage } from '../storage/storage.js';
import { doTask, dropLeftovers } from './do-task.js';
import type { PartsJob } from './parts-job.js';
import {
  type BrokenShard,
  findWork,
  type Planned,
  planShards,
  readOptions,
  taskBytes,
  tasksOf,
  type Work,
} from './work.js';

export interface PartsOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo parts that were made with other settings, instead of refusing. */
  readonly replace: boolean;
  /** Do one share of the parts alone: other processes, started with the other indices, do the rest. */
  readonly share?: Share | undefined;
}

/** With a share, parts, sums and `resumed` are the share's. */
export interface PartsReport extends Totals {
  /** Folder of the parts' files. */
  readonly folder: string;
  readonly shards: number;
  /** Parts found done before this run. */
  readonly resumed: number;
  /** Finished parts found damaged, which this run made again. */
  readonly damaged: number;
  readonly brokenShards: readonly BrokenShard[];
  /** What finding the shards left out, a line each. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

/**
 * Makes every part that has no matching manifest. Running it again after any interruption finishes the rest; the
 * files are the same bytes for any number of workers and of shares.
 * @throws TokensieveError `stale-parts`, `shard-changed` and `folder-busy` (usage); whatever the stage throws
 */
export async function runParts(job: PartsJob, options: PartsOptions): Promise<PartsReport> {
  const started = Date.now();
  const { storage, share } = options;
  const { settings, folder, kind, recipe, shards } = job;
  const claim = await claimFolder(settings.out, hashJson(recipe), storage);
  try {
    const executor = share === undefined ? 'local' : 'array';
    const identity = { executor, share, kind, recipe: hashJson(recipe) } as const;
    const notes = await openWorkerNotes(storage, settings.out, identity, options.sink);
    const signal = claimedSignal(options.signal, claim);
    try {
      await storage.sweep?.(folder);
      const { work, broken } = await planParts(job, { ...options, sink: notes.sink });
      const made = await runTasks(work, job, { ...options, sink: notes.sink, signal });
      // Before it is told as done: what a removed folder held went with it.
      await claim.check?.();
      await notes.close('done');
      return {
        folder,
        shards: shards.length,
        resumed: work.done.length,
        damaged: work.damaged.length,
        ...totalsOf([...work.done, ...made]),
        brokenShards: broken,
        notes: job.notes,
        seconds: (Date.now() - started) / 1000,
      };
    } catch (error) {
      await notes.close(options.signal.aborted ? 'stopped' : 'failed', firstLine(error));
      throw error;
    }
  } finally {
    await claim.release();
  }
}

/**
 * What there is to do: footers and one listing of the output folder. Leftovers are removed, or refused.
 * @throws TokensieveError `stale-parts` (usage) unless `replace`
 */
export async function planParts(
  job: PartsJob,
  options: PartsOptions,
): Promise<{ readonly work: Work; readonly broken: readonly BrokenShard[] }> {
  const { storage, sink, share, replace } = options;
  const { settings, folder, recipe, shards } = job;
  const planned = await planShards(storage, shards, readOptions(settings), settings.corpus.limit, sink);
  const all = tasksOf(planned.plans);
  const own = share === undefined ? all : tasksOfShare(all, share);
  const work = await findWork(storage, planned, own, recipe, folder, replace, job.changes);
  // Of this run's fingerprint, so that nothing else would tell them from new ones.
  for (const path of work.outdated) await storage.remove(path);
  await dropLeftovers(job, options, work.leftovers);
  tellDamaged(work.damaged, sink);
  const rules = work.before === 0 ? RULES_DATE : await notedRules(storage, settings.out, job.kind);
  await writePlanNotes(storage, settings.out, {
    ...planNotes(job, planned),
    ...(rules !== null && { rules }),
  });
  sink({
    event: 'planned',
    shards: shards.length,
    parts: own.length,
    done: work.done.length,
    text_bytes: own.reduce((sum, task) => sum + taskBytes(task), 0),
    done_bytes: totalsOf(work.done).textBytes,
  });
  return { work, broken: planned.broken };
}

function planNotes({ kind, recipe, shards }: PartsJob, { plans, broken }: Planned): PlanNotes {
  const tasks = tasksOf(plans);
  return {
    version: 1,
    kind,
    recipe: hashJson(recipe),
    shards: shards.length,
    broken_shards: broken.length,
    parts: tasks.length,
    streams: tasks.filter(({ part }) => part === null).length,
    text_bytes: tasks.reduce((sum, task) => sum + taskBytes(task), 0),
  };
}

/** The executor of one process: its lanes take task after task. What the parts made come to, in no order. */
async function runTasks(work: Work, job: PartsJob, options: PartsOptions): Promise<Counted[]> {
  const made: Counted[] = [];
  const lanes = Math.max(1, Math.min(job.workers, work.tasks.length));
  await runLanes(
    work.tasks,
    lanes,
    options.signal,
    () => job.open(lanes),
    async (task, stage, signal) => {
      const doneBefore = work.doneStreamParts.get(task.plan.shard.name);
      const manifests = await doTask(job, task, stage, { ...options, signal, doneBefore });
      made.push(...manifests.map(({ counts }) => ({ counts })));
    },
  );
  return made;
}
