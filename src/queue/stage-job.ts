import { type Job, type Queue, UnrecoverableError, WaitingChildrenError } from 'bullmq';
import { firstLine, TokensieveError } from '../errors.js';
import type { NamedPart } from '../parts/named-parts.js';
import { isOfParts } from '../pipeline/open-parts.js';
import {
  jobOptions,
  PART_JOB,
  type PartData,
  partData,
  partId,
  type QueuedStage,
  queuedStage,
  STAGE_JOB,
  type StageData,
  type StageResult,
  stageId,
} from './jobs.js';
import type { Performer } from './performer.js';
import { refuseRemoved } from './remove-run.js';

/** Jobs sent to Redis at a time. */
const ADD_AT_ONCE = 1_000;
/** Plans of one stage; files that vanish as fast as they are made must not go on for ever. */
const MAX_ROUNDS = 3;
/** Failed parts that a message names. */
const NAMED = 3;

/**
 * Does a stage's job, and adds the next stage's. Of a stage made of parts this runs twice: to plan, and, when every
 * part's job is finished, to look whether every manifest is there.
 * @throws RunRemoved when the run was removed meanwhile: nothing more is added
 * @throws WaitingChildrenError when the stage now waits for its parts
 * @throws UnrecoverableError when trying again would not help: parts that failed for good, wrong settings
 */
export async function doStageJob(
  queue: Queue,
  job: Job,
  token: string,
  performer: Performer,
  signal: AbortSignal,
): Promise<StageResult> {
  const stage = queuedStage(job.id ?? '', job.data);
  const result = await finalIfUsage(() =>
    isOfParts(stage.stage)
      ? doPartsStage(queue, { job, token }, stage, performer, signal)
      : performer.single(stage, signal),
  );
  await refuseRemoved(queue, stage.data.run);
  const next = { ...stage.data, index: stage.data.index + 1, step: 'begin' as const, round: 0, broken: 0 };
  if (next.index < next.stages.length) await addStage(queue, next);
  return result;
}

async function doPartsStage(
  queue: Queue,
  { job, token }: { readonly job: Job; readonly token: string },
  { id, stage }: QueuedStage,
  performer: Performer,
  signal: AbortSignal,
): Promise<StageResult> {
  for (;;) {
    const current = queuedStage(id, job.data);
    const { data } = current;
    await refuseRemoved(queue, data.run);
    if (data.step === 'check') await refuseFailures(queue, job, stage.name);
    const plan = await performer.plan(current);
    // A jsonl shard whose job is finished has been read to its end.
    const left = data.step === 'begin' ? plan.left : plan.left.filter(({ part }) => part !== null);
    await job.updateProgress({ planned: { name: stage.name, kind: stage.kind, ...plan.told } });
    if (left.length === 0) {
      await performer.finish(current, signal);
      return { quarantined: plan.quarantined || plan.broken > 0 };
    }
    if (data.round >= MAX_ROUNDS) {
      throw new UnrecoverableError(
        `stage ${stage.name}: ${left.length} part(s) have no manifest although their jobs are finished (${placeOf(left[0])}); something removes them`,
      );
    }
    await addParts(queue, current, left);
    await job.updateData({ ...data, step: 'check', round: data.round + 1, broken: plan.broken });
    if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
    // All of them finished while they were being added.
  }
}

/** Adds the jobs of parts as children of their stage's. Those that are in the queue already are left alone. */
async function addParts(queue: Queue, { id, data }: QueuedStage, parts: readonly NamedPart[]): Promise<void> {
  const options = { ...jobOptions(data.rules, 'part'), parent: { id, queue: queue.qualifiedName } };
  for (let from = 0; from < parts.length; from += ADD_AT_ONCE) {
    await refuseRemoved(queue, data.run);
    await queue.addBulk(
      parts.slice(from, from + ADD_AT_ONCE).map((part) => ({
        name: PART_JOB,
        data: { version: 1, run: data.run, stage: id, ...part } satisfies PartData,
        opts: { ...options, jobId: partId(id, part.shard, part.part) },
      })),
    );
  }
}

export async function addStage(queue: Queue, data: StageData): Promise<void> {
  await queue.add(STAGE_JOB, data, {
    ...jobOptions(data.rules, 'stage'),
    jobId: stageId(data.run, data.index),
  });
}

/** @throws UnrecoverableError when parts of the stage failed for good, with the first of the reasons */
async function refuseFailures(queue: Queue, job: Job, stage: string): Promise<void> {
  const failures = Object.entries(await job.getIgnoredChildrenFailures());
  if (failures.length === 0) return;
  const named: string[] = [];
  for (const [key, reason] of failures.slice(0, NAMED)) {
    const child = await queue.getJob(key.slice(key.lastIndexOf(':') + 1));
    const part = partData.safeParse(child?.data);
    named.push(`${part.success ? placeOf(part.data) : key}: ${firstLine(new Error(String(reason)))}`);
  }
  const more = failures.length > named.length ? `; and ${failures.length - named.length} more` : '';
  throw new UnrecoverableError(
    `stage ${stage}: ${failures.length} part(s) were given up after all their attempts; what other parts made stays. ${named.join('; ')}${more}`,
  );
}

export const placeOf = (part: Pick<PartData, 'shard' | 'part'> | undefined): string =>
  part === undefined ? '?' : part.part === null ? part.shard : `${part.shard} part ${part.part}`;

/** Wrong settings and inputs stay wrong: the stage fails at once. */
async function finalIfUsage<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof TokensieveError) || error.reach !== 'usage' || error.code === 'folder-busy')
      throw error;
    throw new UnrecoverableError(error.message);
  }
}
