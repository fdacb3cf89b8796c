import type { JobDetail, LogLine, Progress } from '../api/types.js';

/** What the page knows of the job it follows. */
export interface JobView {
  readonly job: JobDetail | null;
  /** The log's last lines, in order, each once. */
  readonly lines: readonly LogLine[];
  readonly connection: 'connecting' | 'live' | 'polling' | 'lost';
}

export type JobChange =
  | { readonly kind: 'job'; readonly job: JobDetail }
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'log'; readonly line: LogLine }
  | { readonly kind: 'connection'; readonly connection: JobView['connection'] };

export const LINES_KEPT = 500;

export const newJobView: JobView = { job: null, lines: [], connection: 'connecting' };

export function changeJob(view: JobView, change: JobChange): JobView {
  switch (change.kind) {
    case 'job':
      return { ...view, job: change.job };
    case 'progress':
      return view.job === null ? view : { ...view, job: { ...view.job, progress: change.progress } };
    case 'connection':
      return view.connection === change.connection ? view : { ...view, connection: change.connection };
    case 'log': {
      const { line } = change;
      const last = view.lines.at(-1)?.line ?? Number.NEGATIVE_INFINITY;
      // A reconnect may send a line again; a job that is run anew may begin its log anew.
      if (line.line <= last) return view;
      return { ...view, lines: [...view.lines.slice(1 - LINES_KEPT), line] };
    }
  }
}

/** Which buttons a state allows. */
export function actionsOf(state: JobDetail['state']): {
  readonly cancel: boolean;
  readonly retry: boolean;
  readonly remove: boolean;
} {
  return {
    cancel: state === 'queued' || state === 'running',
    retry: state === 'failed' || state === 'cancelled' || state === 'quarantined',
    remove: state !== 'running' && state !== 'cancelling',
  };
}
