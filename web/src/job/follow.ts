import { useCallback, useEffect, useReducer, useState } from 'preact/hooks';
import { followJob, type JobSource } from '../api/follow-job.js';
import { ApiError, getJson, jobPath, request } from '../api/request.js';
import type { JobDetail, LogLine, LogPage } from '../api/types.js';
import { changeJob, type JobView, newJobView } from './job-state.js';

const sourceOf = (id: string): JobSource => ({
  events: (lastEventId, signal) =>
    request(`${jobPath(id)}/events`, {
      signal,
      headers: {
        accept: 'text/event-stream',
        ...(lastEventId === '' ? {} : { 'last-event-id': lastEventId }),
      },
    }),
  job: (signal) => getJson<JobDetail>(jobPath(id), signal),
  log: async (after, signal) =>
    (await getJson<LogPage>(`${jobPath(id)}/log?after=${after}&limit=500`, signal)).lines,
});

const isGone = (error: unknown): boolean =>
  error instanceof ApiError &&
  error.status >= 400 &&
  error.status < 500 &&
  error.status !== 429 &&
  error.status !== 408;

/** Follows a job for as long as the view is there. `accept` takes what an action answered, and follows the job anew. */
export function useJob(id: string): {
  readonly view: JobView;
  readonly error: Error | null;
  readonly accept: (job: JobDetail) => void;
} {
  const [view, dispatch] = useReducer(changeJob, newJobView);
  const [error, setError] = useState<Error | null>(null);
  const [round, setRound] = useState(0);

  useEffect(() => {
    const stop = new AbortController();
    const sink = {
      job: (job: JobDetail) => dispatch({ kind: 'job', job }),
      progress: (progress: JobDetail['progress']) => dispatch({ kind: 'progress', progress }),
      log: (line: LogLine) => dispatch({ kind: 'log', line }),
      connection: (connection: JobView['connection']) => dispatch({ kind: 'connection', connection }),
    };
    followJob(sourceOf(id), sink, stop.signal, isGone).catch((problem: unknown) => {
      if (!stop.signal.aborted) setError(problem as Error);
    });
    return () => stop.abort();
  }, [id, round]);

  // An answer may be older than what the stream has told since, even that the job is over: so the job is followed anew, and the
  // last word is the service's.
  const accept = useCallback((job: JobDetail) => {
    dispatch({ kind: 'job', job });
    setRound((before) => before + 1);
  }, []);
  return { view, error, accept };
}
