import { randomBytes } from 'node:crypto';
import { firstLine } from '../../errors.js';
import { type AtWorkOptions, openAtWork } from './at-work.js';
import { emptyQueue, enqueue, handBack, leave, positionOf, type Queue, startNext } from './queue.js';
import { byQueueOrder, type JobRecord } from './record.js';

/** The line of a service's jobs: who waits, who is at work, and that the next one starts when there is room. */
export interface Line {
  /** Called within `serially`, as `halt` and `leave` are. */
  join(id: string): void;
  leave(id: string): void;
  /** A job that was cancelled: stopped where it is at work, else taken out. */
  halt(record: JobRecord): void;
  position(id: string): number | null;
  isAtWork(id: string): boolean;
  isStopping(): boolean;
  /** Process ids at work. */
  pids(): readonly number[];
  /** Stops what is at work; it goes back into the line, for the next start. */
  stop(): Promise<void>;
}

export interface LineOptions extends Omit<AtWorkOptions, 'isStopping' | 'leave'> {
  /** Jobs at work at once. */
  readonly concurrency: number;
  /** The jobs there are at the start: those that wait, and those whose cancelling is yet to end. */
  readonly found: readonly JobRecord[];
}

export function openLine({ found, concurrency, ...context }: LineOptions): Line {
  const { records, serially, log } = context;
  let queue: Queue = found
    .filter(({ state }) => state === 'queued')
    .sort(byQueueOrder)
    .reduce((waiting, { id }) => enqueue(waiting, id), emptyQueue);
  let stopping = false;
  const atWork = openAtWork({
    ...context,
    isStopping: () => stopping,
    leave(id, how) {
      queue = how === 'back' ? handBack(queue, id) : leave(queue, id);
    },
  });
  const doing = new Set<Promise<void>>();

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
    records.change(
      id,
      { kind: 'start' },
      {
        attempts: records.get(id).attempts + 1,
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

  return {
    join(id) {
      queue = enqueue(queue, id);
      pump();
    },
    leave(id) {
      queue = leave(queue, id);
    },
    halt(record) {
      if (atWork.has(record.id)) atWork.stop(record.id);
      else {
        queue = leave(queue, record.id);
        if (record.state === 'cancelling') launch(record);
      }
    },
    position: (id) => positionOf(queue, id),
    isAtWork: atWork.has,
    isStopping: () => stopping,
    pids: atWork.pids,
    async stop() {
      stopping = true;
      // Whatever is just being started is then among those at work.
      await serially(() => Promise.resolve());
      atWork.stopAll();
      while (doing.size > 0) await Promise.all(doing);
    },
  };
}
