import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import {
  DelayedError,
  type Job,
  type Queue,
  UnrecoverableError,
  WaitingChildrenError,
  WaitingError,
  Worker,
} from 'bullmq';
import { fatalError, firstLine, TokensieveError, usageError } from '../errors.js';
import type { EventSink } from '../parts/events.js';
import type { QueuePlace } from './connection.js';
import {
  isLongJob,
  PART_JOB,
  partData,
  type QueuedStage,
  queuedStage,
  runOfJob,
  spreadBackoff,
} from './jobs.js';
import { closeQueue, openQueue } from './open-queue.js';
import { type Performer, UnfitWorker } from './performer.js';
import { queueError } from './queue-error.js';
import { isRemoved, RunRemoved } from './remove-run.js';
import { doStageJob } from './stage-job.js';

/** Time between two words of progress of a part, to Redis. */
const PROGRESS_MS = 5_000;
/** Time between two looks whether the queue is empty. */
const EMPTY_MS = 1_000;
/** Time that parting from Redis may take. */
const CLOSE_MS = 10_000;
/** How long a worker that ends with the queue bears that Redis refuses. */
const REFUSED_MS = 15_000;
/** A stage whose output another process holds is tried again after this. */
const BUSY_MS = 10_000;
/** Time between two looks whether the run of a long job was removed. */
const REMOVED_MS = 2_000;

export interface QueueWorkerOptions {
  readonly place: QueuePlace;
  readonly performer: Performer;
  /** Parts in work at once. */
  readonly parts: number;
  /** Seconds that a part stays this worker's without a sign of life; then another takes it over. */
  readonly lease: number;
  /** How often a part may be taken over from dead workers before it is given up. */
  readonly takeovers: number;
  /** Seconds that the part in work may go on after a stop; then it is handed back. */
  readonly grace: number;
  /** End when nothing is left in the queue, rather than wait for more. */
  readonly untilEmpty: boolean;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/**
 * Works on a queue until it is stopped, or until the queue is empty. Sessions run in threads of their own, so that the
 * lease is renewed while a model is at work.
 * @throws TokensieveError `unfit-worker` (usage) when this machine cannot do what the queue asks for, after handing the
 *   job back; `no-redis` (fatal) when Redis does not answer at the start; `redis-refused` (fatal) when it refuses for
 *   long and the worker was to end with the queue
 */
export async function runQueueWorker(options: QueueWorkerOptions): Promise<void> {
  const { place, performer, sink, signal } = options;
  const queue = await openQueue(place);
  const stop = new AbortController();
  const giveUp = new AbortController();
  let unfit: UnfitWorker | null = null;
  const stages = new Map<string, QueuedStage>();
  let inWork = 0;

  const processor = async (job: Job, token = ''): Promise<unknown> => {
    inWork++;
    const { id = '' } = job;
    const run = runOfJob(id);
    /** A Redis that is away tells nothing, and whoever asks it next says so. */
    const removed = (): Promise<boolean> => isRemoved(queue, run).catch(() => false);
    const dropped = new AbortController();
    const signal = AbortSignal.any([giveUp.signal, dropped.signal]);
    const looking = isLongJob(id)
      ? setInterval(() => void removed().then((gone) => gone && dropped.abort(new RunRemoved())), REMOVED_MS)
      : undefined;
    try {
      if (unfit !== null) return await handBack(job, token);
      if (await removed()) throw new RunRemoved();
      if (job.name !== PART_JOB) return await doStageJob(queue, job, token, performer, signal);
      const part = partData.parse(job.data);
      const stage = stages.get(part.stage) ?? (await stageOf(queue, part.stage));
      if (stages.size > 100) stages.clear();
      stages.set(part.stage, stage);
      return await performer.part(stage, part, signal, progressOf(job));
    } catch (error) {
      if (error instanceof WaitingChildrenError || error instanceof WaitingError) throw error;
      if (error instanceof UnfitWorker) {
        unfit = error;
        stop.abort();
        return await handBack(job, token);
      }
      if (error instanceof RunRemoved || dropped.signal.aborted || (await removed())) {
        // Whoever puts the run in again finds nothing of this one.
        job.opts.removeOnFail = true;
        throw new RunRemoved();
      }
      if (giveUp.signal.aborted) return await handBack(job, token);
      if (error instanceof TokensieveError && error.code === 'folder-busy') {
        await job.moveToDelayed(Date.now() + BUSY_MS, token);
        throw new DelayedError();
      }
      if (error instanceof TokensieveError && error.reach === 'usage') {
        throw new UnrecoverableError(error.message);
      }
      throw error;
    } finally {
      clearInterval(looking);
      inWork--;
    }
  };
  const worker = new Worker(place.queue, processor, {
    connection: place.connection,
    name: `${hostname()}-${process.pid}`,
    concurrency: options.parts,
    lockDuration: options.lease * 1000,
    stalledInterval: options.lease * 1000,
    maxStalledCount: options.takeovers,
    runRetryDelay: 1_000,
    settings: {
      backoffStrategy: (made, _type, _error, job) => {
        const backoff = job?.opts.backoff;
        return spreadBackoff(made, typeof backoff === 'object' ? (backoff.delay ?? 0) : 0);
      },
    },
  });
  worker.on(
    'error',
    rarely((error: Error) =>
      sink({ event: 'warning', message: `queue: ${firstLine(queueError(place, error))}` }),
    ),
  );
  // A Redis that is away comes back; one that refuses (full memory) does so until somebody does something.
  let refusal: { readonly error: TokensieveError; readonly since: number } | null = null;
  worker.on('error', (error) => {
    const told = queueError(place, error);
    if (told instanceof TokensieveError && told.code === 'redis-refused')
      refusal ??= { error: told, since: Date.now() };
  });
  worker.on('active', () => {
    refusal = null;
  });
  const refusedFor = (): number => (refusal === null ? 0 : Date.now() - refusal.since);
  worker.on('failed', (job, error) => {
    const made = `attempt ${job?.attemptsMade ?? '?'} of ${job?.opts.attempts ?? '?'}`;
    const data = partData.safeParse(job?.data);
    const what = data.success
      ? `${data.data.shard} part ${data.data.part ?? ''}`.trim()
      : `stage ${job?.id ?? '?'}`;
    if (error instanceof RunRemoved) sink({ event: 'note', message: `${what}: ${error.message}` });
    else sink({ event: 'warning', message: `${what}: ${made} failed: ${firstLine(error)}` });
  });
  worker.on('stalled', (id) =>
    sink({ event: 'warning', message: `job ${id}: its worker is silent; it is taken over` }),
  );
  const ended = new Promise<void>((resolve) => {
    for (const one of [signal, stop.signal]) {
      if (one.aborted) resolve();
      one.addEventListener('abort', () => resolve(), { once: true });
    }
  });
  try {
    await Promise.race([
      ended,
      ...(options.untilEmpty ? [empty(queue, ended, () => inWork, refusedFor)] : []),
    ]);
    // No further jobs; those in work may end by themselves for a while.
    await worker.pause(true);
    const grace = unfit === null ? options.grace : 0;
    for (const until = Date.now() + grace * 1000; inWork > 0 && Date.now() < until; ) await wait(50);
    giveUp.abort(new Error('the worker was stopped'));
    // A Redis that is away must not keep a worker from ending: what it holds is taken over when its lease is up.
    const patience = new AbortController();
    await Promise.race([
      worker.close().catch(() => undefined),
      wait(CLOSE_MS, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
  } finally {
    await performer.close();
    await closeQueue(queue);
  }
  const refused = refusal as { readonly error: TokensieveError } | null;
  if (options.untilEmpty && refused !== null && !signal.aborted) throw refused.error;
  const reason = unfit as UnfitWorker | null;
  if (reason !== null) {
    throw usageError(
      'unfit-worker',
      `${reason.message}; the job went back into the queue, for another worker`,
    );
  }
}

/** The job goes back as if it had never been taken. */
async function handBack(job: Job, token: string): Promise<never> {
  await job.moveToWait(token);
  throw new WaitingError();
}

async function stageOf(queue: Queue, id: string): Promise<QueuedStage> {
  const job = await queue.getJob(id);
  if (job !== undefined) return queuedStage(id, job.data);
  throw fatalError(
    'no-stage',
    `the queue has lost the stage of this part (${id}); enqueue the pipeline again`,
  );
}

/** Tells Redis of a part's progress now and then; what it cannot be told does not matter. */
function progressOf(job: Job): (progress: { readonly tokens: number; readonly text_bytes: number }) => void {
  const sums = { tokens: 0, text_bytes: 0 };
  let told = Date.now();
  return ({ tokens, text_bytes }) => {
    sums.tokens += tokens;
    sums.text_bytes += text_bytes;
    if (Date.now() - told < PROGRESS_MS) return;
    told = Date.now();
    job.updateProgress({ ...sums }).catch(() => undefined);
  };
}

/** Resolves when nothing waits, is in work or will come later, seen twice in a row; or nothing can be taken. */
async function empty(
  queue: Queue,
  ended: Promise<void>,
  inWork: () => number,
  refusedFor: () => number,
): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for (let seen = 0; seen < 2 && !over; ) {
    await wait(EMPTY_MS);
    if (refusedFor() > REFUSED_MS && inWork() === 0) return;
    try {
      const counts = await queue.getJobCounts(
        ...(['wait', 'active', 'delayed', 'prioritized', 'waiting-children'] as const),
      );
      const left = Object.values(counts).reduce((sum, count) => sum + count, 0);
      seen = left === 0 && inWork() === 0 ? seen + 1 : 0;
    } catch {
      seen = 0;
    }
  }
}

/** The function, at most once in ten seconds for one message: a Redis that is away fails every call. */
function rarely(tell: (error: Error) => void): (error: Error) => void {
  const last = new Map<string, number>();
  return (error) => {
    const now = Date.now();
    if (now - (last.get(error.message) ?? Number.NEGATIVE_INFINITY) < 10_000) return;
    if (last.size > 100) last.clear();
    last.set(error.message, now);
    tell(error);
  };
}
