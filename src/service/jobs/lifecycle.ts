/** The states of a job and what leads from one to another. Pure. */

export const JOB_STATES = [
  'queued',
  'running',
  'cancelling',
  'done',
  'quarantined',
  'failed',
  'cancelled',
] as const;

/** `quarantined`: done, with rows or shards set aside (exit code 3). */
export type JobState = (typeof JOB_STATES)[number];

export type JobAction =
  /** The job's turn has come. */
  | { readonly kind: 'start' }
  /** Its last process has ended by itself, with this exit code; null when a signal ended it. */
  | { readonly kind: 'exit'; readonly code: number | null }
  /** Its process was stopped for the service's sake, or was lost: it goes on later. */
  | { readonly kind: 'hand-back' }
  /** `isElsewhere`: its run is in a queue, from which it is to be taken first. */
  | { readonly kind: 'cancel'; readonly isElsewhere?: boolean }
  | { readonly kind: 'retry' };

/** Exit code of a command that set input aside and went on. */
const EXIT_QUARANTINED = 3;

/** The state after an action; null where the state does not allow it. */
export function nextState(state: JobState, action: JobAction): JobState | null {
  switch (action.kind) {
    case 'start':
      return state === 'queued' ? 'running' : null;
    case 'exit':
      if (!isActive(state)) return null;
      // What was finished before the signal came is finished.
      if (action.code === 0) return 'done';
      if (action.code === EXIT_QUARANTINED) return 'quarantined';
      return state === 'cancelling' ? 'cancelled' : 'failed';
    case 'hand-back':
      if (state === 'cancelling') return 'cancelled';
      return state === 'running' ? 'queued' : null;
    case 'cancel':
      if (state === 'queued') return action.isElsewhere === true ? 'cancelling' : 'cancelled';
      return state === 'running' ? 'cancelling' : null;
    case 'retry':
      return state === 'failed' || state === 'cancelled' || state === 'quarantined' ? 'queued' : null;
  }
}

/** Whether a process of the job may be at work. */
export const isActive = (state: JobState): boolean => state === 'running' || state === 'cancelling';

/** Whether nothing more happens unless somebody asks for it. */
export const isFinal = (state: JobState): boolean => state !== 'queued' && !isActive(state);
