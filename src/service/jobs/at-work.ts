import { firstLine, TokensieveError } from '../../errors.js';
import type { PipelineParser } from '../pipeline/parser.js';
import { type Places, resolvePipeline } from '../pipeline/resolve.js';
import { type AttemptEnd, runAttempt, writeResolved } from './attempt.js';
import type { Executors } from './executors.js';
import type { JobLogs } from './job-logs.js';
import type { JobRecords } from './job-records.js';
import { nextState } from './lifecycle.js';
import { type PartsReader, totalsOfJob } from './manifests.js';
import { stopAnnounced } from './process.js';
import { completed } from './progress.js';
import type { JobRecord } from './record.js';
import { planAttempt } from './steps.js';
import type { JobStore } from './store.js';
import { takeOut } from './take-out.js';

/** Time between two looks at the log of a job. */
const LOG_LOOK_MS = 250;

export interface AtWorkOptions {
  readonly store: JobStore;
  readonly records: JobRecords;
  readonly logs: JobLogs;
  readonly parts: PartsReader;
  readonly places: Omit<Places, 'job'>;
  readonly parser: Pick<PipelineParser, 'parse'>;
  readonly executors: Executors;
  /** Time a process has to stop by itself, in milliseconds. */
  readonly graceMs: number;
  readonly log: { warn(message: string): void; info(message: string): void };
  /** Makes one change of state at a time. */
  serially<T>(change: () => Promise<T>): Promise<T>;
  /** Whether what is stopped now goes on with the next service. */
  isStopping(): boolean;
  /** Called with the change of state that ends a job's work: it is over, or is to go on before all that wait. */
  leave(id: string, how: 'over' | 'back'): void;
}

/** The jobs that are being worked on, or taken out of a queue. */
export interface AtWork {
  has(id: string): boolean;
  /** Ids of the processes at work. */
  pids(): readonly number[];
  /** Asks a job's processes to stop. */
  stop(id: string): void;
  stopAll(): void;
  /** Sees an active job to its end. Never throws: whatever goes wrong is the job's end. */
  see(record: JobRecord): Promise<void>;
}

interface Active {
  readonly controller: AbortController;
  readonly pids: Set<number>;
}

/** What came of an attempt: how its last command ended, or what went wrong around it; neither, where there was none. */
interface Outcome {
  readonly end: AttemptEnd | null;
  readonly error: unknown;
}
const NO_ATTEMPT: Outcome = { end: null, error: null };

/** What taking a run out of the queue came to: the run that may still be in it, and why. */
interface LeftQueue extends Pick<JobRecord, 'queued_run'> {
  readonly problem: string | null;
}
const OUT: LeftQueue = { queued_run: null, problem: null };

export function openAtWork(options: AtWorkOptions): AtWork {
  const { store, records, logs, parts, places, parser, executors, graceMs, log } = options;
  const { serially, isStopping, leave } = options;
  const { get, keep, change, tell } = records;
  const active = new Map<string, Active>();

  const see = async (record: JobRecord): Promise<void> => {
    const { id } = record;
    const own: Active = { controller: new AbortController(), pids: new Set() };
    active.set(id, own);
    // Cancelled with no process here, its run is in the queue: there is nothing to do but to take it out.
    const outcome = record.state === 'cancelling' ? NO_ATTEMPT : await attempt(record, own);
    const left = await leaveQueue(id, outcome);
    try {
      await serially(() => settle(id, outcome, left));
    } catch (error) {
      log.warn(`${id}: its end could not be written down: ${firstLine(error)}`);
      leave(id, 'over');
    } finally {
      active.delete(id);
    }
  };

  const attempt = async (record: JobRecord, own: Active): Promise<Outcome> => {
    const { id, attempts } = record;
    log.info(`${id}: started, attempt ${attempts}`);
    const look = setInterval(() => {
      logs
        .of(id)
        .refresh()
        .then((grew) => grew && tell(id))
        .catch(() => undefined);
    }, LOG_LOOK_MS);
    try {
      const files = store.files(id);
      await stopAnnounced(files.folder, graceMs);
      // Judged again: links may have changed since it was submitted.
      const settings = await parser.parse(await store.pipeline(id));
      const resolved = await resolvePipeline(settings, { ...places, job: files.folder });
      await writeResolved(files, resolved.settings);
      const { steps, queued_run } = planAttempt(files, resolved, record.executor, executors);
      // Noted before it is in the queue.
      if (queued_run !== null) await serially(() => keep({ ...get(id), queued_run }));
      const end = await runAttempt({
        files,
        attempt: record.attempt ?? '',
        number: attempts,
        steps,
        signal: own.controller.signal,
        graceMs,
        pids: own.pids,
      });
      return { end, error: null };
    } catch (error) {
      return { end: null, error };
    } finally {
      clearInterval(look);
    }
  };

  /** Takes a job's run out of the queue where it is being cancelled: the end of who followed it does not. Never throws. */
  const leaveQueue = async (id: string, { end }: Outcome): Promise<LeftQueue> => {
    const { queued_run, state } = get(id);
    // What came to its end is in the queue no more.
    if (queued_run === null || (end !== null && (end.complete || end.step !== 'run'))) return OUT;
    if (state !== 'cancelling') return { queued_run, problem: null };
    try {
      const atWork = await takeOut(executors, queued_run, graceMs);
      if (atWork > 0) log.info(`${id}: out of the queue; ${atWork} part(s) still in work end by themselves`);
      return OUT;
    } catch (error) {
      const problem = `its run ${queued_run} could not be taken out of the queue: ${firstLine(error)}`;
      log.warn(`${id}: ${problem}`);
      return { queued_run, problem };
    }
  };

  /** Writes down what became of an active job. */
  const settle = async (id: string, outcome: Outcome, first: LeftQueue): Promise<void> => {
    const { end, error } = outcome;
    // It may have been cancelled after the look that said it is not.
    const isLate = first.queued_run !== null && first.problem === null && get(id).state === 'cancelling';
    const { queued_run, problem } = isLate ? await leaveQueue(id, outcome) : first;
    const jobLog = logs.of(id);
    await jobLog.refresh();
    const record = get(id);
    const isWhole = end?.complete === true;
    const patch: Partial<JobRecord> = {
      attempt: null,
      queued_run,
      exit_code: end?.code ?? null,
      progress: isWhole ? completed(jobLog.progress()) : jobLog.progress(),
      totals: await totalsOfJob(parts, record.parts),
    };
    if (isStopping() && error === null && !isWhole && record.state !== 'cancelling') {
      await change(id, { kind: 'hand-back' }, patch);
      leave(id, 'back');
      log.info(`${id}: stopped, back in the queue`);
      return;
    }
    const why = isWhole ? null : whyFailed(outcome, jobLog.lastWords());
    const exit = { kind: 'exit', code: end?.code ?? null } as const;
    const state = nextState(get(id).state, exit);
    const said = state === 'failed' ? why : state === 'cancelled' ? problem : null;
    // With the state: who sees that a job failed sees why.
    const ended = await change(id, exit, said === null ? patch : { ...patch, error: said });
    leave(id, 'over');
    log.info(`${id}: ${ended.state}`);
  };

  return {
    has: (id) => active.has(id),
    pids: () => [...active.values()].flatMap(({ pids }) => [...pids]),
    stop: (id) => active.get(id)?.controller.abort(),
    stopAll: () => {
      for (const { controller } of active.values()) controller.abort();
    },
    see,
  };
}

/** One line on why an attempt did not end well. */
function whyFailed({ end, error }: Outcome, lastWords: string | null): string {
  if (end === null) {
    return error instanceof TokensieveError ? error.message : `unexpected: ${firstLine(error)}`;
  }
  const where = end.step === 'run' ? '' : `${end.step}: `;
  if (lastWords !== null) return `${where}${lastWords.replace(/^tokensieve: /, '')}`;
  return `${where}ended by ${end.signal ?? `exit code ${end.code}`}`;
}
