/** Jobs as the API shows them. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { JobDetail, JobSummary } from '../api.js';
import type { Jobs } from '../jobs/jobs.js';
import { isFinal } from '../jobs/lifecycle.js';
import { endedAt, type JobRecord, startedAt } from '../jobs/record.js';
import type { JobStore } from '../jobs/store.js';

export function summaryOf(jobs: Jobs, record: JobRecord): JobSummary {
  const { id, name, state, executor, submitted, error } = record;
  const progress = jobs.progress(id);
  return {
    id,
    name,
    state,
    executor,
    submitted,
    started: startedAt(record),
    ended: isFinal(state) ? endedAt(record) : null,
    progress: { ...progress, stages: [...progress.stages] },
    error,
    position: jobs.position(id),
  };
}

export async function detailOf(jobs: Jobs, store: JobStore, record: JobRecord): Promise<JobDetail> {
  const { id, attempts, exit_code, totals } = record;
  return {
    ...summaryOf(jobs, record),
    pipeline: await store.pipeline(id),
    plan: await readPlan(store, id),
    attempts,
    exit_code,
    totals,
    has_report: reportOf(store, record) !== null,
    links: linksOf(id),
  };
}

/** The page of a job's audit, or else of its last report stage; null while there is none. */
export function reportOf(store: JobStore, { id, reports }: JobRecord): string | null {
  const pages = [join(store.files(id).audit, 'report.html'), ...[...reports].reverse()];
  return pages.find((page) => existsSync(page)) ?? null;
}

const planFile = z.object({ plan: z.record(z.string(), z.unknown()) });

async function readPlan(store: JobStore, id: string): Promise<JobDetail['plan']> {
  try {
    return planFile.parse(JSON.parse(await readFile(store.files(id).plan, 'utf8'))).plan;
  } catch {
    // Not made yet, or not to be made: the job's own messages say why.
    return null;
  }
}

/** The numbers of a job's audit, or of its last audit stage; null while there are none. */
export function auditOf(store: JobStore, { id, reports }: JobRecord): string | null {
  const folders = [store.files(id).audit, ...[...reports].reverse().map((page) => dirname(page))];
  return folders.map((folder) => join(folder, 'audit.json')).find((file) => existsSync(file)) ?? null;
}

function linksOf(id: string): Record<string, string> {
  const self = `/v1/jobs/${id}`;
  const names = [
    'events',
    'log',
    'parts',
    'quarantine',
    'artifacts',
    'report',
    'audit',
    'tickets',
    'cancel',
    'retry',
  ];
  return { self, ...Object.fromEntries(names.map((name) => [name, `${self}/${name}`])) };
}
