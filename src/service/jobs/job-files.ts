import { join } from 'node:path';

/** The files that the service keeps in a job's folder. Everything else there was written by the job. */
export interface JobFiles {
  readonly folder: string;
  readonly record: string;
  /** As it was submitted. */
  readonly pipeline: string;
  /** With absolute paths and every default, as it is run. */
  readonly resolved: string;
  /** Events of the run, a JSON object a line. */
  readonly log: string;
  /** What the commands say at their end. */
  readonly output: string;
  readonly plan: string;
  /** Folder of the audit's report.html and audit.json. */
  readonly audit: string;
}

const NAMES = {
  record: 'job.json',
  pipeline: 'pipeline.yaml',
  resolved: 'pipeline.resolved.json',
  log: 'log.jsonl',
  output: 'output.txt',
  plan: 'plan.json',
  audit: 'audit',
} as const;

/** Names in a job's folder that no pipeline may write to. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(Object.values(NAMES));

export const jobFiles = (folder: string): JobFiles => ({
  folder,
  record: join(folder, NAMES.record),
  pipeline: join(folder, NAMES.pipeline),
  resolved: join(folder, NAMES.resolved),
  log: join(folder, NAMES.log),
  output: join(folder, NAMES.output),
  plan: join(folder, NAMES.plan),
  audit: join(folder, NAMES.audit),
});
