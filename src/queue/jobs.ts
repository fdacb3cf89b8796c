/**
 * What lies in the queue. A pipeline is a chain of stage jobs: a stage made of parts plans them, adds a job for each as
 * its child, and goes on when they are finished; a stage that runs once runs; the last thing either does is to add the
 * next. Nothing here is truth: whatever is lost is found again from manifests.
 */
import { createHash } from 'node:crypto';
import type { JobsOptions } from 'bullmq';
import { z } from 'zod';
import type { Settings } from '../config/load.js';
import { hashJson, type JsonObject } from '../json/canonical-json.js';
import { parseStages, type Stage } from '../pipeline/stages.js';

export const STAGE_JOB = 'stage';
export const PART_JOB = 'part';

/** How parts are treated, of one pipeline. */
const rules = z.object({
  /** Tries of a part or stage that fails. */
  attempts: z.int().min(1).max(1000),
  /** Wait before the second try, in seconds; it doubles with each, up to an hour, with a random half. */
  backoff: z.number().min(0).max(3600),
  /** 1 goes first; 0 is before all of them. */
  priority: z.int().min(0).max(2_000_000),
  replace: z.boolean(),
});
export type QueueRules = z.infer<typeof rules>;

const stageData = z.object({
  version: z.literal(1),
  run: z.string().regex(/^[0-9a-f]{16}$/),
  /** Stages as a pipeline file has them, those of the run alone. */
  stages: z.array(z.record(z.string(), z.unknown())).min(1).max(1000),
  index: z.int().min(0).max(999),
  rules,
  step: z.enum(['begin', 'check']),
  /** Shards that could not be planned. */
  broken: z.int().min(0),
  /** Rounds of planning so far. */
  round: z.int().min(0).max(1000),
});
export type StageData = z.infer<typeof stageData>;

export const partData = z.object({
  version: z.literal(1),
  run: z.string(),
  /** Id of the stage's job, which has the settings. */
  stage: z.string(),
  shard: z.string(),
  /** Null for a jsonl shard as a whole. */
  part: z.int().min(0).nullable(),
  /** What the part must be made of; a worker that would make another refuses. */
  fingerprint: z.string(),
});
export type PartData = z.infer<typeof partData>;

/** What a part came to, for progress. Manifests hold the rest. */
export const partResult = z.object({
  parts: z.number(),
  tokens: z.number(),
  text_bytes: z.number(),
  /** The parts made by it, for those who follow: of a jsonl shard the first of them. */
  made: z
    .array(
      z.object({
        shard: z.string(),
        part: z.number(),
        tokens: z.number(),
        documents: z.number(),
        seconds: z.number(),
      }),
    )
    .optional(),
});
export type PartResult = z.infer<typeof partResult>;

/** What a stage came to. */
export const stageResult = z.object({
  /** Rows, items or shards were set aside: exit code 3. */
  quarantined: z.boolean(),
});
export type StageResult = z.infer<typeof stageResult>;

/** A stage's job, its settings read and checked. */
export interface QueuedStage {
  readonly id: string;
  readonly data: StageData;
  readonly stage: Stage;
}

/** @throws when a job holds what no job of this version does; TokensieveError `bad-settings` (usage) */
export function queuedStage(id: string, data: unknown): QueuedStage {
  const parsed = stageData.parse(data);
  const { stages } = parseStages({ stages: parsed.stages } as Settings, `queued run ${parsed.run}`);
  const stage = stages[parsed.index];
  if (stage === undefined) throw new Error(`queued run ${parsed.run}: no stage ${parsed.index}`);
  return { id, data: parsed, stage };
}

/** Names a run by what it does: the same stages twice are one run. */
export const runId = (stages: readonly JsonObject[]): string => hashJson(stages as never).slice(0, 16);
export const stageId = (run: string, index: number): string => `${run}.${index}`;
export const partId = (stage: string, shard: string, part: number | null): string =>
  `${stage}.${createHash('sha256').update(shard).digest('hex').slice(0, 16)}.${part ?? 'all'}`;
/** The run of a job, by its id. */
export const runOfJob = (id: string): string => id.slice(0, id.indexOf('.'));
/** Whether a job may take hours, by its id: a stage, or a jsonl shard as a whole. */
export const isLongJob = (id: string): boolean => /^[^.]+\.\d+$|\.all$/.test(id);

/** Attempts and order of a job. Finished parts leave the queue: their manifests say it; failed ones stay, with the reason. */
export function jobOptions({ attempts, backoff, priority }: QueueRules, kind: 'stage' | 'part'): JobsOptions {
  return {
    attempts,
    backoff: { type: 'spread', delay: backoff * 1000 },
    ...(priority > 0 && { priority }),
    removeOnComplete: kind === 'part' ? true : { count: 1000, age: 30 * 86_400 },
    removeOnFail: false,
    ...(kind === 'part' && { ignoreDependencyOnFailure: true }),
    stackTraceLimit: 0,
  };
}

/** Wait before try `made + 1`, in milliseconds: doubling, at most an hour, half of it random. */
export function spreadBackoff(made: number, delay: number, random: () => number = Math.random): number {
  const longest = Math.min(delay * 2 ** Math.max(0, made - 1), 3_600_000);
  return Math.round(longest / 2 + (longest / 2) * random());
}
