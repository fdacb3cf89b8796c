import { type JobLog, openLog } from './log.js';

/** Logs of jobs at rest whose line counts are remembered. */
const MAX_LOGS = 64;

/** The logs of jobs, opened when they are asked for. Those at work are never forgotten. */
export interface JobLogs {
  of(id: string): JobLog;
  forget(id: string): void;
}

export function openLogs(open: {
  /** Where a job's log is, and the stages it tells of. */
  readonly place: (id: string) => { readonly path: string; readonly stages: readonly string[] };
  readonly isAtWork: (id: string) => boolean;
}): JobLogs {
  const logs = new Map<string, JobLog>();
  return {
    of(id) {
      const found = logs.get(id);
      if (found !== undefined) return found;
      for (const other of logs.keys()) {
        if (logs.size < MAX_LOGS) break;
        if (!open.isAtWork(other)) logs.delete(other);
      }
      const { path, stages } = open.place(id);
      const log = openLog(path, stages);
      logs.set(id, log);
      return log;
    },
    forget: (id) => void logs.delete(id),
  };
}
