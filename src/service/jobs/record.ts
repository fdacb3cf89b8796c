import { z } from 'zod';
import { EXECUTORS } from './executors.js';
import { JOB_STATES, type JobState } from './lifecycle.js';
import { progressSchema } from './progress.js';

/** Sums over the parts of a job. */
export const totalsSchema = z.object({
  documents: z.int().min(0),
  tokens: z.int().min(0),
  eligible: z.int().min(0),
  kept: z.int().min(0),
  quarantined_rows: z.int().min(0),
});
export type JobTotals = Readonly<z.infer<typeof totalsSchema>>;

/** A folder of parts that a job makes. */
export const partsFolderSchema = z.object({
  kind: z.enum(['scored', 'weighted', 'packed']),
  folder: z.string(),
});
export type PartsFolder = Readonly<z.infer<typeof partsFolderSchema>>;

/**
 * `job.json`: all that is known of a job beside its pipeline, its log and its outputs. It is only ever replaced whole,
 * by rename, so that a service killed at any moment finds a state that was true.
 */
export const jobRecordSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  name: z.string(),
  /** ISO 8601, UTC. */
  submitted: z.string(),
  state: z.enum(JOB_STATES),
  /** Every change of state, the first being `queued`. */
  transitions: z
    .array(z.object({ state: z.enum(JOB_STATES), at: z.string(), front: z.boolean().optional() }))
    .min(1),
  attempts: z.int().min(0),
  /** Of the attempt in work: its processes announce themselves by it. Null when none may be at work. */
  attempt: z.string().nullable(),
  /** Who makes its parts. Jobs of before there was a choice have none in their file. */
  executor: z.enum(EXECUTORS).default('local'),
  /** Its run that may be in the queue; null when none is. */
  queued_run: z.string().nullable().default(null),
  exit_code: z.int().nullable(),
  /** One line. */
  error: z.string().nullable(),
  stages: z.array(z.string()),
  /** Where its parts will be. */
  parts: z.array(partsFolderSchema),
  /** Pages that its report stages write. */
  reports: z.array(z.string()),
  /** Of the last attempt, once it has ended. */
  progress: progressSchema.nullable(),
  totals: totalsSchema.nullable(),
});
export type JobRecord = Readonly<z.infer<typeof jobRecordSchema>>;

/** Transitions kept: a job that is retried forever must not grow forever. */
const MAX_TRANSITIONS = 200;

export function newRecord(
  job: Pick<JobRecord, 'id' | 'name' | 'submitted' | 'stages' | 'parts' | 'reports'> &
    Partial<Pick<JobRecord, 'executor'>>,
): JobRecord {
  return {
    version: 1,
    executor: 'local',
    queued_run: null,
    ...job,
    state: 'queued',
    transitions: [{ state: 'queued', at: job.submitted }],
    attempts: 0,
    attempt: null,
    exit_code: null,
    error: null,
    progress: null,
    totals: null,
  };
}

/** The record in a new state. @param front of a job that goes before all that wait */
export function inState(record: JobRecord, state: JobState, at: string, front = false): JobRecord {
  const change = { state, at, ...(front && { front }) };
  const [first, ...later] = record.transitions;
  const kept = [...later, change].slice(-(MAX_TRANSITIONS - 1));
  return { ...record, state, transitions: first === undefined ? kept : [first, ...kept] };
}

/** When the last attempt began; null before the first. */
export const startedAt = ({ transitions, attempts }: JobRecord): string | null =>
  attempts === 0 ? null : (transitions.findLast(({ state }) => state === 'running')?.at ?? null);

/** When a job in a final state came into it. */
export const endedAt = ({ transitions }: JobRecord): string | null => transitions.at(-1)?.at ?? null;

/** Order of jobs that wait: those handed back first, then by when they came into the queue. */
export function byQueueOrder(a: JobRecord, b: JobRecord): number {
  const [x, y] = [waitingSince(a), waitingSince(b)];
  if (x.front !== y.front) return x.front ? -1 : 1;
  return x.front ? compare(a.id, b.id) : compare(x.at, y.at) || compare(a.id, b.id);
}

function waitingSince({ transitions }: JobRecord): { readonly at: string; readonly front: boolean } {
  const last = transitions.findLast(({ state }) => state === 'queued');
  return { at: last?.at ?? '', front: last?.front ?? false };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
