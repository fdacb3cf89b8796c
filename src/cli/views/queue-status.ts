import type { QueueStatus } from '../../queue/queue-status.js';
import { printable, table } from '../format.js';

/** A queue: its state, its runs, what failed. */
export function queueStatusText({ queue, paused, workers, jobs, runs, failed_parts }: QueueStatus): string {
  const counts = Object.entries(jobs)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${state} ${count}`);
  const lines = [
    `queue ${queue}${paused ? ' (paused)' : ''}: ${workers} worker(s); jobs: ${counts.join(', ') || 'none'}`,
  ];
  if (runs.length > 0) {
    const rows = runs.map((run) => [
      run.run,
      `${printable(run.stage)} (${run.index + 1} of ${run.of})`,
      run.state,
      `${run.parts.finished} finished, ${run.parts.left} left, ${run.parts.failed} given up`,
      printable(run.out ?? ''),
    ]);
    lines.push('', table([['run', 'stage', 'state', 'parts', 'output'], ...rows]));
  }
  for (const { run, failed_reason } of runs) {
    if (failed_reason !== null) lines.push(`run ${run} failed: ${printable(failed_reason)}`);
  }
  for (const { part, attempts, reason, given_up } of failed_parts) {
    const state = given_up ? 'given up' : 'to be tried again';
    lines.push(`${printable(part)}: ${state} after ${attempts} attempt(s): ${printable(reason)}`);
  }
  return lines.join('\n');
}
