import pLimit from 'p-limit';
import { stringify } from 'yaml';
import type { Settings } from '../../config/load.js';
import type { PipelineParser } from '../pipeline/parser.js';
import { type Places, type ResolvedPipeline, resolvePipeline } from '../pipeline/resolve.js';
import { ServiceError } from '../service-error.js';
import { type ExecutorName, type Executors, requireExecutor } from './executors.js';
import { nextJobId } from './job-id.js';
import { openLogs } from './job-logs.js';
import { type Listener, openRecords } from './job-records.js';
import { isActive } from './lifecycle.js';
import { openLine } from './line.js';
import type { JobLog } from './log.js';
import { openPartsReader, type PartsReader } from './manifests.js';
import { noProgress, type Progress } from './progress.js';
import { type JobRecord, newRecord } from './record.js';
import { recoverJob } from './recover.js';
import type { JobStore } from './store.js';
import { takeOut } from './take-out.js';

export interface JobsOptions {
  readonly store: JobStore;
  readonly places: Omit<Places, 'job'>;
  readonly parser: PipelineParser;
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
/** Settings of more, as JSON, are kept as JSON. */
const YAML_CHARACTERS = 20_000;
/** How long deleting a job waits for parts of it that workers of a queue are at. */
const REMOVE_MS = 20_000;

/**
 * Takes up the jobs of a folder: whatever was at work when the last service ended is stopped if it still runs, and goes
 * before all that wait.
 */
export async function openJobs(options: JobsOptions): Promise<Jobs> {
  const { store, places, parser, executors } = options;
  const found = await recovered(options);
  const records = openRecords(store, found);
  const { get, change } = records;
  /** One change of state at a time. */
  const serially = pLimit(1);
  const logs = openLogs({
    place: (id) => ({ path: store.files(id).log, stages: get(id).stages }),
    isAtWork: (id) => line.isAtWork(id),
  });
  const parts = openPartsReader();
  const line = openLine({ ...options, records, logs, parts, serially, found });

  /** The newest id given out, also to jobs that are not there yet or no more. */
  let lastId = records.list()[0]?.id ?? '';

  const resolve = async (submission: Submission): Promise<ResolvedPipeline & { readonly id: string }> => {
    const { pipeline } = submission;
    const settings = typeof pipeline === 'string' ? await parser.parse(pipeline) : pipeline;
    lastId = nextJobId(new Date(), lastId);
    const id = lastId;
    return { id, ...(await resolvePipeline(settings, { ...places, job: store.files(id).folder })) };
  };

  async function submit(submission: Submission): Promise<JobRecord> {
    if (line.isStopping())
      throw new ServiceError(503, 'stopping', 'the service is stopping; try again later');
    if (records.count() >= MAX_JOBS) {
      throw new ServiceError(429, 'too-many-jobs', `${MAX_JOBS} jobs are kept; delete some that are done`);
    }
    const { pipeline, name, executor = executors.usual } = submission;
    requireExecutor(executors, executor);
    const { id, stages, parts: folders, reports, audit } = await resolve(submission);
    const text = typeof pipeline === 'string' ? pipeline : textOf(pipeline);
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
      line.join(id);
      return record;
    });
  }

  const cancel = (id: string): Promise<JobRecord> =>
    serially(async () => {
      const isElsewhere = get(id).queued_run !== null;
      const record = await change(id, { kind: 'cancel', isElsewhere });
      line.halt(record);
      return record;
    });

  const retry = (id: string): Promise<JobRecord> =>
    serially(async () => {
      const record = await change(id, { kind: 'retry' });
      line.join(id);
      return record;
    });

  async function remove(id: string): Promise<void> {
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
      line.leave(id);
      await records.remove(id);
      logs.forget(id);
    });
  }

  return {
    parts,
    get,
    resolve,
    submit,
    cancel,
    retry,
    remove,
    log: logs.of,
    list: records.list,
    watch: records.watch,
    position: line.position,
    progress(id) {
      const record = get(id);
      if (line.isAtWork(id)) return logs.of(id).progress();
      return record.progress ?? noProgress(record.stages);
    },
    pids: line.pids,
    stop: line.stop,
  };
}

/** Settings as a pipeline file. YAML of many would hold the service up; JSON is YAML too. */
function textOf(settings: Settings): string {
  const json = JSON.stringify(settings, null, 2);
  return json.length <= YAML_CHARACTERS ? stringify(settings) : `${json}\n`;
}

/** The records of a folder, as they are once what the last service left at work is stopped. */
async function recovered({ store, graceMs, log }: JobsOptions): Promise<readonly JobRecord[]> {
  const found: JobRecord[] = [];
  for (const old of await store.load((message) => log.warn(message))) {
    const { record, stopped } = await recoverJob(old, store, graceMs);
    found.push(record);
    if (record === old) continue;
    const why = stopped > 0 ? `; ${stopped} process(es) of it were stopped` : '';
    log.info(`${old.id}: was ${old.state}, now ${record.state}${why}`);
  }
  return found;
}
