import { eventStreamParser } from './event-stream.js';
import type { JobDetail, JobState, LogLine, Progress } from './types.js';

/** What a view hears of a job. */
export interface JobSink {
  job(job: JobDetail): void;
  progress(progress: Progress): void;
  log(line: LogLine): void;
  /** live: events come as they happen. polling: the stream is down, the job is asked for now and then. */
  connection(state: 'live' | 'polling' | 'lost'): void;
}

/** How the job's address is asked; both reject where the service refuses or does not answer. */
export interface JobSource {
  readonly events: (lastEventId: string, signal: AbortSignal) => Promise<Response>;
  readonly job: (signal: AbortSignal) => Promise<JobDetail>;
  /** Lines of the log after a line, oldest first. */
  readonly log: (after: number, signal: AbortSignal) => Promise<readonly LogLine[]>;
}

export interface Timing {
  /** Milliseconds to the first attempt after a failure, doubled at each further one up to `longest`. */
  readonly shortest: number;
  readonly longest: number;
  /** A stream that is silent for so long is dead: the service sends a comment every 15 s. */
  readonly silence: number;
}

const TIMING: Timing = { shortest: 500, longest: 5000, silence: 40_000 };

export const isFinal = (state: JobState): boolean =>
  state === 'done' || state === 'quarantined' || state === 'failed' || state === 'cancelled';

/**
 * Follows a job until it reaches a final state, by its event stream where that can be read, else by asking now
 * and then. A stream that ends early is taken up where it stopped (Last-Event-ID). Resolves at the end.
 * @throws what `source.job` throws when the service answers that there is no such job (`isGone`).
 */
export async function followJob(
  source: JobSource,
  sink: JobSink,
  signal: AbortSignal,
  isGone: (error: unknown) => boolean,
  timing: Timing = TIMING,
): Promise<void> {
  let lastLine = '';
  let failures = 0;
  while (!signal.aborted) {
    const began = lastLine;
    const seen = { final: false, any: false };
    try {
      await readStream(
        source,
        {
          ...sink,
          job(job) {
            seen.any = true;
            seen.final = isFinal(job.state);
            sink.job(job);
          },
        },
        () => lastLine,
        (id) => {
          lastLine = id;
        },
        signal,
        timing.silence,
      );
    } catch {
      if (signal.aborted) return;
    }
    if (seen.final) return;
    failures = seen.any || began !== lastLine ? 0 : failures + 1;
    try {
      const job = await source.job(signal);
      sink.connection('polling');
      const lines = await source.log(Number(lastLine) || 0, signal);
      for (const line of lines) {
        sink.log(line);
        lastLine = String(line.line);
      }
      sink.job(job);
      if (isFinal(job.state)) return;
    } catch (error) {
      if (signal.aborted) return;
      if (isGone(error)) throw error;
      sink.connection('lost');
    }
    await pause(Math.min(timing.longest, timing.shortest * 2 ** failures), signal);
  }
}

async function readStream(
  source: JobSource,
  sink: JobSink,
  lastId: () => string,
  setLastId: (id: string) => void,
  signal: AbortSignal,
  silence: number,
): Promise<void> {
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  signal.addEventListener('abort', abort);
  let timer = setTimeout(abort, silence);
  try {
    const response = await source.events(lastId(), stop.signal);
    if (response.body === null) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = eventStreamParser();
    sink.connection('live');
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(abort, silence);
      for (const { type, data, id } of parse(value)) {
        if (id !== '') setLastId(id);
        dispatch(sink, type, data, id);
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    stop.abort();
  }
}

function dispatch(sink: JobSink, type: string, data: string, id: string): void {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return;
  }
  if (type === 'job') sink.job(value as JobDetail);
  else if (type === 'progress') sink.progress(value as Progress);
  else if (type === 'log') sink.log({ line: Number(id), event: value as LogLine['event'] });
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
  });
