import { randomBytes } from 'node:crypto';
import pLimit from 'p-limit';
import { stringify } from 'yaml';
import { parsePipelineText, type Settings } from '../../config/load.js';
import { firstLine } from '../../errors.js';
import { type Places, type ResolvedPipeline, resolvePipeline } from '../pipeline/resolve.js';
import { ServiceError } from '../service-error.js';
import { openAtWork } from './at-work.js';
import { type ExecutorName, type Executors, requireExecutor } from './executors.js';
import { nextJobId } from './job-id.js';
import { openLogs } from './job-logs.js';
import { type Listener, openRecords } from './job-records.js';
import { isActive } from './lifecycle.js';
import type { JobLog } from './log.js';
import { openPartsReader, type PartsReader } from './manifests.js';
import { noProgress, type Progress } from './progress.js';
import { emptyQueue, enqueue, handBack, leave, positionOf, type Queue, startNext } from './queue.js';
import { byQueueOrder, type JobRecord, newRecord } from './record.js';
import { recoverJob } from './recover.js';
import type { JobStore } from './store.js';
import { takeOut } from './take-out.js';

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
/** How long deleting a job waits for parts of it that workers of a queue are at. */
const REMOVE_MS = 20_000;

/**
 * Takes up the jobs of a folder: whatever was at work when the last service ended is stopped if it still runs, and goes
 * before all that wait.
 */
export async function openJobs(options: JobsOptions): Promise<Jobs> {
  const { store, places, executors, concurrency, graceMs, log } = options;
  const found: JobRecord[] = [];
  for (const old of await store.load((message) => log.warn(message))) {
    const { record, stopped } = await recoverJob(old, store, graceMs);
    found.push(record);
    if (record === old) continue;
    const why = stopped > 0 ? `; ${stopped} process(es) of it were stopped` : '';
    log.info(`${old.id}: was ${old.state}, now ${record.state}${why}`);
  }
  const records = openRecords(store, found);
  const { get, change } = records;
  const logs = openLogs({
    place: (id) => ({ path: store.files(id).log, stages: get(id).stages }),
    isAtWork: (id) => atWork.has(id),
  });
  const parts = openPartsReader();
  /** One change of state at a time. */
  const serially = pLimit(1);
  let queue: Queue = found
    .filter(({ state }) => state === 'queued')
    .sort(byQueueOrder)
    .reduce((waiting, { id }) => enqueue(waiting, id), emptyQueue);
  let stopping = false;
  const atWork = openAtWork({
    ...{ store, records, logs, parts, places, executors, graceMs, log, serially },
    isStopping: () => stopping,
    leave(id, how) {
      queue = how === 'back' ? handBack(queue, id) : leave(queue, id);
    },
  });
  const doing = new Set<Promise<void>>();

  const placesOf = (id: string): Places => ({ ...places, job: store.files(id).folder });

  /** Starts what may start. A job leaves the queue and becomes `running` in one step, so that nothing comes between. */
  const pump = (): void => {
    serially(async () => {
      for (;;) {
        const next = stopping ? null : startNext(queue, concurrency);
        if (next === null) return;
        queue = next.queue;
        try {
          launch(await begin(next.id));
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

  const launch = (record: JobRecord): void => {
    const one = atWork.see(record).finally(() => {
      doing.delete(one);
      pump();
    });
    doing.add(one);
  };

  for (const record of found) if (record.state === 'cancelling') launch(record);
  pump();

  /** The newest id given out, also to jobs that are not there yet or no more. */
  let lastId = records.list()[0]?.id ?? '';

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
    log: logs.of,
    list: records.list,
    watch: records.watch,
    position: (id) => positionOf(queue, id),
    progress(id) {
      const record = get(id);
      if (atWork.has(id)) return logs.of(id).progress();
      return record.progress ?? noProgress(record.stages);
    },
    pids: atWork.pids,
    async submit(submission) {
      if (stopping) throw new ServiceError(503, 'stopping', 'the service is stopping; try again later');
      if (records.count() >= MAX_JOBS) {
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
        stages: [...stages, ...(audit === null ? [] : ['audit'])],
        parts: [...folders],
        reports: [...reports],
      });
      return serially(async () => {
        await records.create(record, text);
        queue = enqueue(queue, id);
        pump();
        return record;
      });
    },
    cancel: (id) =>
      serially(async () => {
        const isElsewhere = get(id).queued_run !== null;
        const record = await change(id, { kind: 'cancel', isElsewhere });
        if (atWork.has(id)) atWork.stop(id);
        else {
          queue = leave(queue, id);
          if (record.state === 'cancelling') launch(record);
        }
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
        const left = await takeOut(executors, queued_run, REMOVE_MS);
        if (left > 0) {
          const wait = `${id}: ${left} part(s) are still in work in the queue; try again when they have ended`;
          throw new ServiceError(409, 'wrong-state', wait);
        }
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
        await records.remove(id);
        logs.forget(id);
      });
    },
    async stop() {
      stopping = true;
      // Whatever is just being started is then among those at work.
      await serially(() => Promise.resolve());
      atWork.stopAll();
      while (doing.size > 0) await Promise.all(doing);
    },
  };
}
