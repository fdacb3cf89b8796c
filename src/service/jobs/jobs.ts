import { randomBytes } from 'node:crypto';
import pLimit from 'p-limit';
import { stringify } from 'yaml';
import { parsePipelineText, type Settings } from '../../config/load.js';
import { firstLine, TokensieveError } from '../../errors.js';
import { type Places, type ResolvedPipeline, resolvePipeline } from '../pipeline/resolve.js';
import { ServiceError } from '../service-error.js';
import { type AttemptEnd, isAudited, runAttempt, stepsOf, writeResolved } from './attempt.js';
import { type ExecutorName, type Executors, requireExecutor, takeOut } from './executors.js';
import { nextJobId } from './job-id.js';
import { isActive, type JobAction, nextState } from './lifecycle.js';
import { type JobLog, openLog } from './log.js';
import { openPartsReader, type PartsReader, totalsOfJob } from './manifests.js';
import { stopAnnounced } from './process.js';
import { completed, noProgress, type Progress } from './progress.js';
import { emptyQueue, enqueue, handBack, leave, positionOf, type Queue, startNext } from './queue.js';
import { byQueueOrder, inState, type JobRecord, newRecord } from './record.js';
import type { JobStore } from './store.js';

export interface JobsOptions {
  readonly store: JobStore;
  readonly places: Omit<Places, 'job'>;
  readonly executors: Executors;
  /** Jobs at work at once. */
  readonly concurrency: number;
  /** Time a process has to stop by itself, in milliseconds. */
  readonly graceMs: number;
  readonly log: { warn(message: string): void; info(message: string): void };
}

export interface Submission {
  readonly name?: string | undefined;
  /** YAML text, or settings as they would be in the file. */
  readonly pipeline: string | Settings;
  /** Who makes its parts; what the service does by default when it is left out. */
  readonly executor?: ExecutorName | undefined;
}

/** Called after every change of a job and whenever its log grows. */
export type Listener = () => void;

/** The jobs of a service: what there is, what waits, what is at work. */
export interface Jobs {
  /** @throws TokensieveError as `resolvePipeline`, `no-executor`; ServiceError `too-many-jobs`, `stopping` */
  submit(submission: Submission): Promise<JobRecord>;
  /** What a submission would run. `id` stands for the job's folder. @throws as `submit` */
  resolve(submission: Submission): Promise<ResolvedPipeline>;
  /** All jobs, the newest first. */
  list(): readonly JobRecord[];
  /** @throws ServiceError `no-such-job` */
  get(id: string): JobRecord;
  position(id: string): number | null;
  progress(id: string): Progress;
  /** Process ids at work. */
  pids(): readonly number[];
  log(id: string): JobLog;
  readonly parts: PartsReader;
  /** @throws ServiceError `no-such-job`, `wrong-state` */
  cancel(id: string): Promise<JobRecord>;
  retry(id: string): Promise<JobRecord>;
  remove(id: string): Promise<void>;
  /** @returns what ends the watching */
  watch(id: string, listener: Listener): () => void;
  /** Stops what is at work; it goes back into the queue, for the next start. */
  stop(): Promise<void>;
}

/** Jobs there may be; their records are held in memory. */
const MAX_JOBS = 10_000;
const LOG_LOOK_MS = 250;
/** Logs of jobs at rest whose line counts are remembered. */
const MAX_LOGS = 64;

/** Time that a job's removal from the queue waits for parts in work when the job is to be deleted. */
const REMOVE_MS = 20_000;

interface Active {
  readonly controller: AbortController;
  readonly pids: Set<number>;
}

/**
 * Takes up the jobs of a folder: whatever was at work when the last service ended is stopped if it still runs, and goes
 * before all that wait.
 */
export async function openJobs(options: JobsOptions): Promise<Jobs> {
  const { store, places, executors, concurrency, graceMs, log } = options;
  const records = new Map<string, JobRecord>();
  const active = new Map<string, Active>();
  const logs = new Map<string, JobLog>();
  const listeners = new Map<string, Set<Listener>>();
  const parts = openPartsReader();
  const attempts = new Set<Promise<void>>();
  /** One change of state at a time. */
  const serially = pLimit(1);
  let queue: Queue = emptyQueue;
  let stopping = false;

  const tell = (id: string): void => {
    for (const listener of listeners.get(id) ?? []) listener();
  };

  const keep = async (record: JobRecord): Promise<JobRecord> => {
    await store.save(record);
    records.set(record.id, record);
    tell(record.id);
    return record;
  };

  const get = (id: string): JobRecord => {
    const record = records.get(id);
    if (record !== undefined) return record;
    throw new ServiceError(404, 'no-such-job', `${id}: no such job`);
  };

  /** @throws ServiceError `wrong-state` */
  const change = async (id: string, action: JobAction, patch: Partial<JobRecord> = {}) => {
    const record = get(id);
    const state = nextState(record.state, action);
    if (state === null) {
      throw new ServiceError(409, 'wrong-state', `${id}: is ${record.state}; cannot ${action.kind} it`);
    }
    const front = action.kind === 'hand-back';
    return keep(inState({ ...record, ...patch }, state, new Date().toISOString(), front));
  };

  const logOf = (id: string): JobLog => {
    let found = logs.get(id);
    if (found === undefined) {
      for (const other of logs.keys()) {
        if (logs.size < MAX_LOGS) break;
        if (!active.has(other)) logs.delete(other);
      }
      found = openLog(store.files(id).log, get(id).stages);
      logs.set(id, found);
    }
    return found;
  };

  const placesOf = (id: string): Places => ({ ...places, job: store.files(id).folder });

  /** Starts what may start. A job leaves the queue and becomes `running` in one step, so that nothing comes between. */
  const pump = (): void => {
    serially(async () => {
      for (;;) {
        const next = stopping ? null : startNext(queue, concurrency);
        if (next === null) return;
        queue = next.queue;
        try {
          launch(runJob(await begin(next.id)));
        } catch (error) {
          queue = leave(queue, next.id);
          log.warn(`${next.id}: could not be started: ${firstLine(error)}`);
        }
      }
    }).catch((error: unknown) => log.warn(`the queue: ${firstLine(error)}`));
  };

  const begin = (id: string): Promise<JobRecord> =>
    change(
      id,
      { kind: 'start' },
      {
        attempts: get(id).attempts + 1,
        attempt: randomBytes(8).toString('hex'),
        exit_code: null,
        error: null,
        progress: null,
        totals: null,
      },
    );

  const launch = (doing: Promise<void>): void => {
    const attempt = doing.finally(() => {
      attempts.delete(attempt);
      pump();
    });
    attempts.add(attempt);
  };

  /** Takes a job through one attempt. Never throws: whatever goes wrong is the job's end. */
  const runJob = async (record: JobRecord): Promise<void> => {
    const { id } = record;
    const own: Active = { controller: new AbortController(), pids: new Set() };
    active.set(id, own);
    log.info(`${id}: started, attempt ${record.attempts}`);
    const look = setInterval(() => {
      logOf(id)
        .refresh()
        .then((grew) => grew && tell(id))
        .catch(() => undefined);
    }, LOG_LOOK_MS);
    let end: AttemptEnd | null = null;
    let error: unknown = null;
    try {
      end = await attemptOf(record, own);
    } catch (thrown) {
      error = thrown;
    }
    clearInterval(look);
    const left = await leaveQueue(id, end);
    try {
      await serially(() => endAttempt(id, end, error, left));
    } catch (thrown) {
      log.warn(`${id}: its end could not be written down: ${firstLine(thrown)}`);
      queue = leave(queue, id);
    } finally {
      active.delete(id);
    }
  };

  const attemptOf = async (record: JobRecord, own: Active): Promise<AttemptEnd> => {
    const { id } = record;
    const files = store.files(id);
    await stopAnnounced(files.folder, graceMs);
    // Judged again: links may have changed since it was submitted.
    const settings = parsePipelineText(await store.pipeline(id), 'pipeline');
    const resolved = await resolvePipeline(settings, placesOf(id));
    await writeResolved(files, resolved.settings);
    const steps = stepsOf(files, resolved, record.executor, executors);
    if (record.executor === 'queue') {
      const { runOfSettings } = await import('../../queue/pipeline-stages.js');
      const queued_run = runOfSettings(resolved.settings, 'pipeline');
      await serially(() => keep({ ...get(id), queued_run }));
    }
    return runAttempt({
      files,
      attempt: record.attempt ?? '',
      number: record.attempts,
      steps,
      signal: own.controller.signal,
      graceMs,
      pids: own.pids,
    });
  };

  /**
   * Takes a job's run out of the queue when that is wanted, not only the process that follows it.
   * @returns what becomes of `queued_run`, and why it could not be taken out
   */
  const leaveQueue = async (id: string, end: AttemptEnd | null): Promise<LeftQueue> => {
    const { queued_run, state } = get(id);
    // What came to its end is in the queue no more.
    if (queued_run === null || (end !== null && (end.complete || end.step !== 'run'))) return LEFT;
    if (state !== 'cancelling') return { queued_run, problem: null };
    try {
      const atWork = await takeOut(executors, queued_run, graceMs);
      if (atWork > 0) log.info(`${id}: out of the queue; ${atWork} part(s) still in work end by themselves`);
      return LEFT;
    } catch (error) {
      const problem = `its run ${queued_run} could not be taken out of the queue: ${firstLine(error)}`;
      log.warn(`${id}: ${problem}`);
      return { queued_run, problem };
    }
  };

  /** Ends a job that is being cancelled and has no process here: its run is in the queue. Never throws. */
  const cancelElsewhere = async (record: JobRecord): Promise<void> => {
    const { id } = record;
    active.set(id, { controller: new AbortController(), pids: new Set() });
    const { queued_run, problem } = await leaveQueue(id, null);
    try {
      await serially(() =>
        change(id, { kind: 'exit', code: null }, { queued_run, error: problem, attempt: null }),
      );
      log.info(`${id}: cancelled`);
    } catch (error) {
      log.warn(`${id}: its end could not be written down: ${firstLine(error)}`);
    } finally {
      active.delete(id);
    }
  };

  const endAttempt = async (
    id: string,
    end: AttemptEnd | null,
    error: unknown,
    left: LeftQueue,
  ): Promise<void> => {
    // It may have been cancelled after the look that said it is not.
    const isLate = get(id).state === 'cancelling' && left.queued_run !== null && left.problem === null;
    const { queued_run, problem } = isLate ? await leaveQueue(id, end) : left;
    const jobLog = logOf(id);
    await jobLog.refresh();
    const record = get(id);
    const patch: Partial<JobRecord> = {
      attempt: null,
      queued_run,
      exit_code: end?.code ?? null,
      progress: end?.complete === true ? completed(jobLog.progress()) : jobLog.progress(),
      totals: await totalsOfJob(parts, record.parts),
    };
    const stopped = stopping && error === null && end?.complete !== true;
    if (stopped && record.state !== 'cancelling') {
      await change(id, { kind: 'hand-back' }, patch);
      queue = handBack(queue, id);
      log.info(`${id}: stopped, back in the queue`);
      return;
    }
    const why = end?.complete === true ? null : whyFailed(end, error, jobLog.lastWords());
    const ended = await change(id, { kind: 'exit', code: end?.code ?? null }, patch);
    if (ended.state === 'failed' && why !== null) await keep({ ...ended, error: why });
    if (ended.state === 'cancelled' && problem !== null) await keep({ ...ended, error: problem });
    queue = leave(queue, id);
    log.info(`${id}: ${ended.state}`);
  };

  const recover = async (record: JobRecord): Promise<JobRecord> => {
    if (record.attempt === null && !isActive(record.state)) return record;
    // A process that is only just starting finds another attempt in job.json, and ends.
    await store.save({ ...record, attempt: randomBytes(8).toString('hex') });
    const stopped = await stopAnnounced(store.files(record.id).folder, graceMs);
    // Its run goes on in the queue until it is taken out.
    const isElsewhere = record.state === 'cancelling' && record.queued_run !== null;
    const state = isElsewhere
      ? record.state
      : (nextState(record.state, { kind: 'hand-back' }) ?? record.state);
    const back = isElsewhere
      ? { ...record, attempt: null }
      : { ...inState(record, state, new Date().toISOString(), true), attempt: null };
    await store.save(back);
    log.info(
      `${record.id}: was ${record.state}, now ${state}${stopped > 0 ? '; its process was stopped' : ''}`,
    );
    return back;
  };

  for (const found of await store.load((message) => log.warn(message))) {
    records.set(found.id, await recover(found));
  }
  const waiting = [...records.values()].filter(({ state }) => state === 'queued').sort(byQueueOrder);
  for (const { id } of waiting) queue = enqueue(queue, id);
  for (const record of records.values()) if (record.state === 'cancelling') launch(cancelElsewhere(record));
  pump();

  const newest = (): string => [...records.keys()].reduce((last, id) => (id > last ? id : last), '');
  /** The newest id given out, also to jobs that are not there yet or no more. */
  let lastId = newest();

  const resolve = async (submission: Submission): Promise<ResolvedPipeline & { readonly id: string }> => {
    const { pipeline } = submission;
    const settings = typeof pipeline === 'string' ? parsePipelineText(pipeline, 'pipeline') : pipeline;
    lastId = nextJobId(new Date(), lastId);
    const id = lastId;
    return { id, ...(await resolvePipeline(settings, placesOf(id))) };
  };

  return {
    parts,
    get,
    resolve,
    log: logOf,
    list: () => [...records.values()].sort((a, b) => (a.id < b.id ? 1 : -1)),
    position: (id) => positionOf(queue, id),
    progress(id) {
      const record = get(id);
      if (active.has(id)) return logOf(id).progress();
      return record.progress ?? noProgress(record.stages);
    },
    pids: () => [...active.values()].flatMap(({ pids }) => [...pids]),
    async submit(submission) {
      if (stopping) throw new ServiceError(503, 'stopping', 'the service is stopping; try again later');
      if (records.size >= MAX_JOBS) {
        throw new ServiceError(429, 'too-many-jobs', `${MAX_JOBS} jobs are kept; delete some that are done`);
      }
      const { pipeline, name, executor = executors.usual } = submission;
      requireExecutor(executors, executor);
      const { id, stages, parts: folders, reports, audit } = await resolve(submission);
      const text = typeof pipeline === 'string' ? pipeline : stringify(pipeline);
      const record = newRecord({
        id,
        name: name ?? id,
        submitted: new Date().toISOString(),
        executor,
        stages: [...stages, ...(isAudited(audit) ? ['audit'] : [])],
        parts: [...folders],
        reports: [...reports],
      });
      return serially(async () => {
        await store.create(record, text);
        records.set(id, record);
        queue = enqueue(queue, id);
        pump();
        return record;
      });
    },
    cancel: (id) =>
      serially(async () => {
        const isElsewhere = get(id).queued_run !== null;
        const record = await change(id, { kind: 'cancel', isElsewhere });
        if (!active.has(id)) queue = leave(queue, id);
        if (record.state === 'cancelling' && !active.has(id)) launch(cancelElsewhere(record));
        active.get(id)?.controller.abort();
        return record;
      }),
    retry: (id) =>
      serially(async () => {
        const record = await change(id, { kind: 'retry' });
        queue = enqueue(queue, id);
        pump();
        return record;
      }),
    async remove(id) {
      const { state: before, queued_run } = get(id);
      // Workers must not go on writing into a folder that is gone.
      if (!isActive(before) && queued_run !== null && executors.queue !== null) {
        const atWork = await takeOut(executors, queued_run, REMOVE_MS);
        if (atWork > 0) {
          const wait = `${id}: ${atWork} part(s) are still in work in the queue; try again when they have ended`;
          throw new ServiceError(409, 'wrong-state', wait);
        }
        await serially(() => keep({ ...get(id), queued_run: null }));
      }
      await serially(async () => {
        const { state } = get(id);
        if (isActive(state)) {
          throw new ServiceError(
            409,
            'wrong-state',
            `${id}: is ${state}; cancel it and wait until it has stopped`,
          );
        }
        queue = leave(queue, id);
        await store.remove(id);
        records.delete(id);
        logs.delete(id);
        tell(id);
      });
    },
    watch(id, listener) {
      const all = listeners.get(id) ?? new Set<Listener>();
      listeners.set(id, all.add(listener));
      return () => {
        all.delete(listener);
        if (all.size === 0) listeners.delete(id);
      };
    },
    async stop() {
      stopping = true;
      // Whatever is just being started is then among those at work.
      await serially(() => Promise.resolve());
      for (const { controller } of active.values()) controller.abort();
      while (attempts.size > 0) await Promise.all(attempts);
    },
  };
}

/** What leaving the queue came to: the run that may still be in it, and why. */
interface LeftQueue extends Pick<JobRecord, 'queued_run'> {
  readonly problem: string | null;
}
const LEFT: LeftQueue = { queued_run: null, problem: null };

/** One line on why an attempt did not end well. */
function whyFailed(end: AttemptEnd | null, error: unknown, lastWords: string | null): string {
  if (end === null)
    return error instanceof TokensieveError ? error.message : `unexpected: ${firstLine(error)}`;
  const where = end.step === 'run' ? '' : `${end.step}: `;
  if (lastWords !== null) return `${where}${lastWords.replace(/^tokensieve: /, '')}`;
  return `${where}ended by ${end.signal ?? `exit code ${end.code}`}`;
}
