import { setTimeout as wait } from 'node:timers/promises';
import { Job, type Queue, QueueEvents } from 'bullmq';
import { z } from 'zod';
import type { PartPlace } from '../dataset/part-files.js';
import { fatalError, firstLine } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { EventSink } from '../parts/events.js';
import type { QueuePlace } from './connection.js';
import { partData, partResult, type QueueRules, runId, stageId, stageResult } from './jobs.js';
import { LOST_JOB } from './queue-error.js';
import { forgetRemoval, isRemoved } from './remove-run.js';
import { addStage } from './stage-job.js';

/** Time between two looks at a run. */
const LOOK_MS = 500;
/** Failed jobs looked through at a time. */
const PAGE = 500;
/** Parts in work that are told of. */
const MAX_BEGUN = 10_000;

export interface QueuedRun {
  readonly run: string;
  /** `at-work`: it was in the queue already, and was left alone. */
  readonly state: 'added' | 'at-work';
}

/**
 * Puts a pipeline into the queue. Only its first stage is added: what parts it has, and which of them are left, the
 * worker finds out that plans it. A run that is in the queue already is left alone; of one that failed or ended, what
 * is left is begun again. One that was removed is waited for while a worker is at a stage of it.
 */
export async function enqueueRun(
  queue: Queue,
  stages: readonly JsonObject[],
  rules: QueueRules,
  signal?: AbortSignal,
): Promise<QueuedRun> {
  await forgetRemoval(queue, runId(stages), signal);
  return putIn(queue, stages, rules);
}

async function putIn(queue: Queue, stages: readonly JsonObject[], rules: QueueRules): Promise<QueuedRun> {
  const run = runId(stages);
  const jobs = await Promise.all(stages.map((_, index) => Job.fromId(queue, stageId(run, index))));
  const states = await Promise.all(jobs.map((job) => job?.getState()));
  const isOver = (state: string | undefined): boolean =>
    state === undefined || state === 'completed' || state === 'failed' || state === 'unknown';
  if (!states.every(isOver)) return { run, state: 'at-work' };
  await removeFailedParts(queue, run);
  for (const job of jobs) await job?.remove();
  const begin = { version: 1, index: 0, step: 'begin', round: 0, broken: 0 } as const;
  await addStage(queue, { ...begin, run, stages: [...stages], rules });
  return { run, state: 'added' };
}

async function removeFailedParts(queue: Queue, run: string): Promise<void> {
  for (let from = 0; ; ) {
    const failed = await queue.getFailed(from, from + PAGE - 1);
    if (failed.length === 0) return;
    const own = failed.filter((job) => job?.id?.startsWith(`${run}.`) && job.name === 'part');
    for (const job of own) await job.remove();
    from += failed.length - own.length;
  }
}

const progressSchema = z.object({
  planned: z.object({
    name: z.string(),
    kind: z.string(),
    shards: z.number(),
    parts: z.number(),
    done: z.number(),
    text_bytes: z.number(),
    done_bytes: z.number(),
  }),
});

export interface FollowOptions {
  readonly place: QueuePlace;
  readonly queue: Queue;
  readonly stages: readonly JsonObject[];
  readonly rules: QueueRules;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Waits until a run is over, telling of its stages and parts. A run that the queue has lost is put in again: what its
 * manifests say is done is not done again. Stopping to follow does not stop the run.
 * @throws TokensieveError `run-failed` (fatal) with the reason of the stage that failed
 */
export async function followRun(options: FollowOptions): Promise<{ readonly quarantined: boolean }> {
  const { place, queue, stages, rules, sink, signal } = options;
  const run = runId(stages);
  let index = 0;
  const events = new QueueEvents(place.queue, { connection: place.connection });
  events.on('error', () => undefined);
  const isOfStage = (id: string): boolean => id.startsWith(`${stageId(run, index)}.`);
  /** Parts in work, by their jobs' ids. */
  const begun = new Map<string, PartPlace>();
  events.on('active', ({ jobId }) => {
    if (!isOfStage(jobId) || begun.size >= MAX_BEGUN) return;
    Job.fromId(queue, jobId).then(
      (job) => {
        const { success, data } = partData.safeParse(job?.data);
        // Parts of a jsonl shard are known when they are made.
        if (!success || data.part === null || !isOfStage(jobId)) return;
        const { shard, part } = data;
        begun.set(jobId, { shard, part });
        sink({ event: 'part-started', shard, part });
      },
      () => undefined,
    );
  });
  const givenUp = (id: string): void => {
    const part = begun.get(id);
    if (part !== undefined) sink({ event: 'part-given-up', ...part });
    begun.delete(id);
  };
  events.on('failed', ({ jobId, failedReason }) => {
    const part = begun.get(jobId);
    if (part === undefined) return;
    sink({ event: 'warning', message: `${part.shard} part ${part.part}: given up: ${failedReason}` });
    givenUp(jobId);
  });
  events.on('delayed', ({ jobId }) => givenUp(jobId));
  events.on('waiting', ({ jobId }) => givenUp(jobId));
  events.on('completed', ({ jobId, returnvalue }) => {
    begun.delete(jobId);
    if (!isOfStage(jobId)) return;
    const made = partResult.safeParse(parsed(returnvalue));
    if (!made.success) return;
    for (const part of made.data.made ?? []) sink({ event: 'part-done', ...part });
    sink({ event: 'progress', tokens: made.data.tokens, text_bytes: made.data.text_bytes });
  });
  let told = '';
  let quarantined = false;
  try {
    while (index < stages.length) {
      signal.throwIfAborted();
      try {
        const id = stageId(run, index);
        // In this order: what is over by its state has a result when it is read.
        const state = await queue.getJobState(id);
        const job = await Job.fromId(queue, id);
        if (job === undefined) {
          // A next stage is added before its predecessor counts as done: this one was there.
          await refuse(queue, run);
          if ((await putIn(queue, stages, rules)).state === 'added') {
            sink({ event: 'warning', message: 'the queue has lost the run; it was put in again' });
            index = 0;
            told = '';
          }
        } else {
          const planned = progressSchema.safeParse(job.progress);
          const key = `${index} ${JSON.stringify(planned.data?.planned ?? null)}`;
          if (planned.success && key !== told) {
            const { name, kind, ...counts } = planned.data.planned;
            sink({ event: 'stage', name, kind });
            sink({ event: 'planned', ...counts });
            told = key;
          } else if (key !== told && state === 'active') {
            // A stage that runs once, or one that is being planned.
            sink({ event: 'stage', ...nameOf(stages[index]) });
            told = key;
          }
          if (state === 'completed') {
            quarantined ||= stageResult.safeParse(job.returnvalue).data?.quarantined ?? false;
            index++;
            begun.clear();
            continue;
          }
          if (state === 'failed') await refuse(queue, run);
          if (state === 'failed') throw fatalError('run-failed', job.failedReason || LOST_JOB);
        }
      } catch (error) {
        if (isOwn(error)) throw error;
        sink({ event: 'warning', message: `queue: ${firstLine(error)}` });
      }
      await wait(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
    return { quarantined };
  } finally {
    await events.close().catch(() => undefined);
  }
}

/** @throws TokensieveError `run-removed` (fatal) when the run is gone because somebody removed it */
async function refuse(queue: Queue, run: string): Promise<void> {
  if (!(await isRemoved(queue, run))) return;
  throw fatalError('run-removed', `run ${run} was removed from the queue; enqueue it again to go on`);
}

/** Name and kind of a stage in the form that jobs carry. */
function nameOf(stage: JsonObject = {}): { readonly name: string; readonly kind: string } {
  const { name, ...settings } = stage;
  return { name: String(name), kind: Object.keys(settings)[0] ?? '' };
}

const isOwn = (error: unknown): boolean => error instanceof Error && error.name === 'TokensieveError';

function parsed(text: unknown): unknown {
  if (typeof text !== 'string') return text;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
