import type { Job, Queue } from 'bullmq';
import { partData, queuedStage } from './jobs.js';
import { placeOf } from './stage-job.js';

/** Jobs of one state that are looked at. */
const MAX_JOBS = 1_000;
/** Failed parts that are told of. */
const MAX_FAILED = 100;

/** A run in a queue, by the stage that it is at. Snake case: `status --json` prints it as it is. */
export interface QueuedRunStatus {
  readonly run: string;
  readonly stage: string;
  readonly kind: string;
  readonly of: number;
  readonly index: number;
  /** `waiting-children`: its parts are at work. */
  readonly state: string;
  /** Output folder of the stage. */
  readonly out: string | null;
  readonly parts: { readonly left: number; readonly finished: number; readonly failed: number };
  readonly failed_reason: string | null;
}

export interface QueueStatus {
  readonly queue: string;
  readonly paused: boolean;
  readonly workers: number;
  readonly jobs: Readonly<Record<string, number>>;
  readonly runs: readonly QueuedRunStatus[];
  /** Parts that were given up, and those between two attempts. */
  readonly failed_parts: readonly {
    readonly run: string;
    readonly part: string;
    readonly attempts: number;
    readonly reason: string;
    readonly given_up: boolean;
  }[];
}

const STATES = [
  'active',
  'waiting-children',
  'wait',
  'prioritized',
  'delayed',
  'failed',
  'completed',
] as const;

/** What a queue holds; of very full ones the first thousand jobs of each state are looked at. */
export async function queueStatus(queue: Queue): Promise<QueueStatus> {
  const runs = new Map<string, QueuedRunStatus>();
  const failed: QueueStatus['failed_parts'][number][] = [];
  for (const state of STATES) {
    for (const job of await queue.getJobs([state], 0, MAX_JOBS - 1)) {
      // A job may end while it is being listed.
      if (job === undefined || job.id === undefined) continue;
      if (job.name === 'part') addFailed(failed, job, state);
      else addRun(runs, await stageStatus(job, state));
    }
  }
  return {
    queue: queue.name,
    paused: await queue.isPaused(),
    workers: (await queue.getWorkers()).length,
    jobs: await queue.getJobCounts(...STATES),
    runs: [...runs.values()].sort((a, b) => (a.run < b.run ? -1 : 1)),
    failed_parts: failed.slice(0, MAX_FAILED),
  };
}

/** The stage that a run is at: the last of those that it has in the queue. */
function addRun(runs: Map<string, QueuedRunStatus>, status: QueuedRunStatus | null): void {
  if (status === null) return;
  const other = runs.get(status.run);
  if (other === undefined || other.index < status.index) runs.set(status.run, status);
}

async function stageStatus(job: Job, state: string): Promise<QueuedRunStatus | null> {
  try {
    const { data, stage } = queuedStage(job.id ?? '', job.data);
    const counts = await job.getDependenciesCount();
    const { out } = stage.settings as { readonly out?: unknown };
    return {
      run: data.run,
      stage: stage.name,
      kind: stage.kind,
      index: data.index,
      of: data.stages.length,
      state,
      out: typeof out === 'string' ? out : null,
      parts: {
        left: counts.unprocessed ?? 0,
        finished: counts.processed ?? 0,
        failed: (counts.ignored ?? 0) + (counts.failed ?? 0),
      },
      failed_reason: state === 'failed' ? (job.failedReason ?? null) : null,
    };
  } catch {
    // Of another version, or not ours.
    return null;
  }
}

function addFailed(failed: QueueStatus['failed_parts'][number][], job: Job, state: string): void {
  const part = partData.safeParse(job.data);
  if (!part.success || !job.failedReason || failed.length >= MAX_FAILED) return;
  failed.push({
    run: part.data.run,
    part: placeOf(part.data),
    attempts: job.attemptsMade,
    reason: job.failedReason,
    given_up: state === 'failed',
  });
}
