/** What an attempt at a job will do, command by command. Pure. */
import type { Settings } from '../../config/load.js';
import { isPartsKind } from '../../pipeline/open-parts.js';
import { runOfSettings } from '../../queue/pipeline-stages.js';
import type { AuditCall, ResolvedPipeline } from '../pipeline/resolve.js';
import { type ExecutorName, type Executors, requireExecutor } from './executors.js';
import type { JobFiles } from './job-files.js';

/** One command of an attempt. */
export interface Step {
  readonly name: 'array' | 'run' | 'audit';
  /** Command lines of the processes that do it, at once. */
  readonly calls: readonly (readonly string[])[];
  /** Command that each of them goes behind; empty for none. */
  readonly launcher: readonly string[];
}

export interface AttemptPlan {
  /** The executor's own, then the audit where there is something to audit. */
  readonly steps: readonly Step[];
  /** The run as the queue knows it; null when none will be in it. */
  readonly queued_run: string | null;
}

const LOG = ['--log', 'json', '--log-every', '1'] as const;

/** @throws TokensieveError (usage) `no-executor` when the service does not offer the job's executor any more */
export function planAttempt(
  files: JobFiles,
  { audit, settings }: Pick<ResolvedPipeline, 'audit' | 'settings'>,
  executor: ExecutorName,
  executors: Executors,
): AttemptPlan {
  requireExecutor(executors, executor);
  const { queue, array } = executors;
  const after = audit === null ? [] : [auditStep(files, audit)];
  if (executor === 'queue' && queue !== null) {
    const follow = ['enqueue', files.resolved, '--follow', '--queue', queue.queue, ...LOG];
    return { steps: [alone('run', follow), ...after], queued_run: runOfSettings(settings, 'pipeline') };
  }
  const run = ['run', files.resolved, ...LOG];
  const shared: Step[] = [];
  if (executor === 'array' && array !== null && beginsWithParts(settings)) {
    const { count, launcher } = array;
    const calls = Array.from({ length: count }, (_, index) => [
      ...run,
      ...['--array-index', String(index), '--array-count', String(count)],
    ]);
    shared.push({ name: 'array', calls, launcher });
  }
  return { steps: [...shared, alone('run', run), ...after], queued_run: null };
}

const alone = (name: Step['name'], call: readonly string[]): Step => ({ name, calls: [call], launcher: [] });

function auditStep(files: JobFiles, { run, shards, tokenizer }: AuditCall): Step {
  return alone('audit', [
    ...['audit', run, '--out', files.audit, '--log', 'json'],
    ...(shards.length > 0 ? ['--shards', ...shards] : []),
    ...(tokenizer === null ? [] : ['--tokenizer', tokenizer]),
  ]);
}

/** Whether an array has anything to do: it makes the stages of parts at a pipeline's head. */
function beginsWithParts(settings: Settings): boolean {
  const { stages } = settings as { readonly stages?: readonly object[] };
  if (stages === undefined) return true;
  return stages.slice(0, 1).some((stage) => Object.keys(stage).some(isPartsKind));
}
