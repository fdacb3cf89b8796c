/** What goes over the wire: the one source of types, checks and the OpenAPI document. */
import { z } from 'zod';
import { EXECUTORS } from './jobs/executors.js';
import { JOB_ID } from './jobs/job-id.js';
import { JOB_STATES } from './jobs/lifecycle.js';
import { progressSchema } from './jobs/progress.js';
import { totalsSchema } from './jobs/record.js';

const count = z.int().min(0);
const instant = z.string().meta({ description: 'ISO 8601, UTC' });
const object = z.record(z.string(), z.unknown());

export const errorSchema = z
  .object({
    error: z.object({
      code: z.string().meta({ description: 'Stable, for programs' }),
      message: z.string().meta({ description: 'One line, for people' }),
    }),
  })
  .meta({ id: 'Error' });

export const jobState = z.enum(JOB_STATES).meta({
  id: 'JobState',
  description: 'quarantined: done, with rows or shards set aside (exit code 3)',
});

export const executorName = z.enum(EXECUTORS).meta({
  id: 'Executor',
  description: 'Who makes the parts: one process, workers of a queue, or an array of processes',
});

export const executorList = z
  .object({ executors: z.array(executorName), default: executorName })
  .meta({ id: 'Executors' });

const summary = z.object({
  id: z.string(),
  name: z.string(),
  state: jobState,
  executor: executorName,
  submitted: instant,
  started: instant.nullable(),
  ended: instant.nullable(),
  progress: progressSchema,
  error: z.string().nullable(),
  position: z.int().min(1).nullable().meta({ description: 'Place in the queue, 1 for the next' }),
});

export const jobSummary = summary.meta({ id: 'JobSummary' });

export const jobDetail = summary
  .extend({
    pipeline: z.string().meta({ description: 'YAML, as submitted' }),
    plan: object.nullable().meta({ description: 'What `tokensieve plan` says; null until it is made' }),
    attempts: count,
    exit_code: z.int().nullable(),
    totals: totalsSchema.nullable().meta({ description: 'Sums over parts, once an attempt has ended' }),
    has_report: z.boolean(),
    links: z.record(z.string(), z.string()).meta({ description: 'Paths of what belongs to the job' }),
  })
  .meta({ id: 'JobDetail' });

export const jobList = z
  .object({
    jobs: z.array(jobSummary),
    next: z.string().nullable().meta({ description: 'Hand it on as `before` for the next page' }),
  })
  .meta({ id: 'JobList' });

const named = {
  name: z
    .string()
    .min(1)
    .max(200)
    .regex(/^\P{Cc}*$/u, 'expected a name without control characters')
    .optional()
    .meta({ description: 'What to call the job (default: its id)' }),
  executor: executorName
    .optional()
    .meta({ description: 'Who makes its parts, of those that the service offers (default: its own choice)' }),
};

/** A pipeline as YAML text, or its settings as an object. */
export const submission = z
  .union([
    z.strictObject({
      ...named,
      pipeline: z.string().min(1).meta({ description: 'A pipeline file: YAML text' }),
    }),
    z.strictObject({ ...named, settings: object.meta({ description: 'What would be in the file' }) }),
  ])
  .meta({ id: 'Submission' });

export const jobParameters = z.strictObject({ id: z.string().regex(JOB_ID, 'expected the id of a job') });

const limit = (most: number, usual: number) => z.coerce.number().int().min(1).max(most).default(usual);

export const listQuery = z.strictObject({
  state: z.enum(JOB_STATES).optional(),
  limit: limit(200, 50),
  before: z.string().regex(JOB_ID, 'expected the id of a job').optional(),
});

export const logQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0).meta({ description: 'Lines after this one' }),
  limit: limit(1000, 200),
});

const logEvent = z.looseObject({ event: z.string() });

export const logPage = z
  .object({
    lines: z.array(z.object({ line: z.int().min(1), event: logEvent })),
    next: count.nullable().meta({ description: 'Hand it on as `after`; null at the end of what there is' }),
  })
  .meta({ id: 'LogPage' });

export const partsQuery = z.strictObject({
  offset: z.coerce.number().int().min(0).default(0),
  limit: limit(1000, 1000),
});

export const partsPage = z
  .object({
    parts: z.array(
      z.object({
        shard: z.string(),
        part: count,
        kind: z.enum(['scored', 'weighted', 'packed']),
        state: z.enum(['done', 'running', 'waiting']),
        tokens: count.nullable(),
        documents: count.nullable(),
        kept: count.nullable(),
        quarantined_rows: count.nullable(),
        seconds: z.number().nullable(),
      }),
    ),
    total: count,
  })
  .meta({ id: 'PartsPage' });

export const quarantineQuery = z.strictObject({ limit: limit(1000, 100) });

export const quarantinePage = z
  .object({
    total: count.meta({ description: 'Rows and shards set aside' }),
    reasons: z.record(z.string(), count),
    rows: z.array(
      z.object({
        shard: z.string(),
        part: count.nullable(),
        row: count,
        reason: z.string(),
        detail: z.string(),
      }),
    ),
  })
  .meta({ id: 'QuarantinePage' });

export const artifactList = z
  .object({
    files: z.array(z.object({ path: z.string(), bytes: count, type: z.string() })),
    truncated: z.boolean().meta({ description: 'There are more files than are listed' }),
  })
  .meta({ id: 'ArtifactList' });

export const ticketBody = z
  .strictObject({
    path: z.string().min(1).max(1024).optional().meta({ description: 'An artifact (default: the report)' }),
  })
  .nullish();

export const ticket = z
  .object({ url: z.string().meta({ description: 'Path with a ticket in it' }), expires: instant })
  .meta({ id: 'Ticket' });

export const ticketQuery = z.strictObject({ ticket: z.string().max(200).optional() });

export const planAnswer = z.object({ plan: object, text: z.string() }).meta({ id: 'Plan' });

export const health = z
  .object({ status: z.enum(['ok', 'stopping']), version: z.string() })
  .meta({ id: 'Health' });

export type JobSummary = z.output<typeof jobSummary>;
export type JobDetail = z.output<typeof jobDetail>;
export type PartsPage = z.output<typeof partsPage>;
export type QuarantinePage = z.output<typeof quarantinePage>;
export type ArtifactList = z.output<typeof artifactList>;
