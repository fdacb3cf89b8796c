import { setTimeout as wait } from 'node:timers/promises';
import type { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readPipelineFile } from '#tokensieve/config/load.js';
import { queuePlace } from '#tokensieve/queue/connection.js';
import { enqueueRun } from '#tokensieve/queue/enqueue.js';
import { runId } from '#tokensieve/queue/jobs.js';
import { closeQueue, openQueue } from '#tokensieve/queue/open-queue.js';
import type { Performer } from '#tokensieve/queue/performer.js';
import { runOfSettings } from '#tokensieve/queue/pipeline-stages.js';
import { removeRun } from '#tokensieve/queue/remove-run.js';
import { digestFolder, runCli } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';
import {
  type QueueInputs,
  queueCommand,
  queueInputs,
  startInQueue,
  startWorker,
  type Worker,
} from './run-in-queue.js';
import { workersHere } from './worker-here.js';

const STATES = [
  'active',
  'wait',
  'prioritized',
  'delayed',
  'waiting-children',
  'failed',
  'completed',
] as const;
const EMPTY = Object.fromEntries(STATES.map((state) => [state, 0]));

describe.skipIf(redisServerPath === null)('a run that is removed', { timeout: 600_000 }, () => {
  let redis: TestRedis;
  let queue: Queue;
  beforeAll(async () => {
    redis = await startRedis();
    queue = await openQueue(queuePlace(redis.url));
  });
  afterEach(() => redis.command((client) => client.flushall()));
  afterAll(async () => {
    await closeQueue(queue);
    await redis.close();
  });

  describe('from workers that are at its parts', () => {
    const folder = temporaryFolder();
    let inputs: QueueInputs;
    let expected: Record<string, string>;
    const started: Worker[] = [];
    const start = (one: Worker): Worker => {
      started.push(one);
      return one;
    };
    beforeAll(async () => {
      inputs = await queueInputs(folder);
      const { file, out } = inputs.pipeline('local', ['score']);
      expect((await runCli(['run', file, '--log', 'none'])).code).toBe(3);
      expected = digestFolder(out);
    }, 600_000);
    afterEach(async () => {
      for (const { child } of started) child.kill('SIGKILL');
      await Promise.all(started.splice(0).map(({ outcome }) => outcome));
    });

    it('leaves nothing in the queue, gets no further part, and is made to its end when it is put in again', async () => {
      const { file, out } = inputs.pipeline('removed', ['score']);
      const { file: kept, out: keptOut } = inputs.pipeline('kept', ['score']);
      const run = runOfSettings(await readPipelineFile(file), file);
      const following = start(startInQueue(redis, ['enqueue', file, '--follow']));
      while ((await queue.getJobCountByTypes('prioritized')) === 0) await wait(50);
      // Another run waits behind it, and stays.
      await queueCommand(redis, 'enqueue', kept, '--priority', '5000');
      // A lease that no crowded machine lets lapse: a part taken over is warned of, and is not what is asked here.
      const worker = start(startInQueue(redis, ['worker', '--lease', '60', '--grace', '30']));
      await worker.seen('part-started');
      const removed = await removeRun(queue, run, 60_000);
      expect(removed).toMatchObject({ run, at_work: 0 });
      expect(removed.jobs).toBeGreaterThan(1);
      const followed = await following.outcome;
      expect(followed.code).toBe(1);
      expect(followed.stderr).toContain('was removed from the queue; enqueue it again to go on');
      const jobs = await queue.getJobs([...STATES]);
      expect(jobs.filter(({ id }) => id?.startsWith(run))).toEqual([]);

      // Whoever makes the other run makes no part of this one.
      const made = Object.keys(digestFolder(out));
      expect(made.length).toBeLessThan(Object.keys(expected).length);
      const other = start(startInQueue(redis, ['enqueue', kept, '--follow']));
      expect((await other.outcome).code).toBe(3);
      expect(digestFolder(keptOut)).toEqual(expected);
      expect(Object.keys(digestFolder(out))).toEqual(made);
      expect(worker.events.filter(({ event }) => event === 'warning')).toEqual([]);

      const again = start(startInQueue(redis, ['enqueue', file, '--follow']));
      expect((await again.outcome).code).toBe(3);
      expect(digestFolder(out)).toEqual(expected);
      const planned = again.events.find(({ event }) => event === 'planned');
      expect(planned?.['done']).toBeGreaterThan(0);
    });

    it('is taken out though its worker was killed and nobody else is there', async () => {
      const { file } = inputs.pipeline('deserted', ['score']);
      const worker = start(startWorker(redis));
      const { stdout } = await queueCommand(redis, 'enqueue', file);
      const run = /^run (\w+)/.exec(stdout)?.[1] ?? '';
      await worker.seen('part-started');
      worker.child.kill('SIGKILL');
      await worker.outcome;
      // Its part is its own until the lease is up.
      expect(await removeRun(queue, run, 60_000)).toMatchObject({ at_work: 0 });
      expect(await queue.getJobCounts(...STATES)).toEqual(EMPTY);
    });

    it('is named by the id that status prints, or by its file; other names are refused', async () => {
      const { file } = inputs.pipeline('named', ['score']);
      const { stdout } = await queueCommand(redis, 'enqueue', file);
      const run = /^run (\w+)/.exec(stdout)?.[1] ?? '';
      const removed = await queueCommand(redis, 'queue', 'remove', run, '--json');
      expect(JSON.parse(removed.stdout)).toEqual({ run, jobs: 1, at_work: 0 });
      const none = await queueCommand(redis, 'queue', 'remove', file);
      expect([none.code, none.stdout]).toEqual([0, `run ${run}: nothing of it is in the queue\n`]);
      expect((await queueCommand(redis, 'queue', 'remove')).code).toBe(2);
    });
  });

  describe('from a worker that is at a stage of it', () => {
    const rules = { attempts: 3, backoff: 0, priority: 1000, replace: false };
    const none = { shards: 1, parts: 3, done: 0, text_bytes: 0, done_bytes: 0 };
    const workerHere = workersHere(() => queuePlace(redis.url));
    const counts = () => queue.getJobCounts(...STATES);

    it('stops a stage that runs once, and adds none after it', async () => {
      const stages = [
        { name: 'audit', audit: { run: 'x' } },
        { name: 'again', audit: { run: 'y' } },
      ];
      let begun = (): void => undefined;
      const atWork = new Promise<void>((resolve) => {
        begun = resolve;
      });
      const did = await workerHere({
        single: (_, signal) =>
          new Promise((_resolve, reject) => {
            begun();
            signal.addEventListener('abort', () => reject(new Error('stopped')));
          }),
      });
      await enqueueRun(queue, stages, rules);
      await atWork;
      expect(await removeRun(queue, runId(stages), 30_000)).toMatchObject({ at_work: 0 });
      expect(await counts()).toEqual(EMPTY);
      expect(did).toEqual([expect.stringContaining('its run was removed from the queue')]);
    });

    it('has its parts in work taken over when it is put in again, and makes none of them twice', async () => {
      const stages = [{ name: 'score', score: { shards: ['x.parquet'], reference: 'm', out: 'o' } }];
      const began: number[] = [];
      const made = new Set<number>();
      let end = (): void => undefined;
      const mayEnd = new Promise<void>((resolve) => {
        end = resolve;
      });
      const performer: Partial<Performer> = {
        plan: async () => ({
          left: [0, 1, 2]
            .filter((part) => !made.has(part))
            .map((part) => ({ shard: 'x.parquet', part, fingerprint: 'f' })),
          told: none,
          broken: 0,
          quarantined: false,
        }),
        part: async (_stage, { part }) => {
          began.push(part ?? -1);
          await mayEnd;
          made.add(part ?? -1);
          return { parts: 1, tokens: 1, text_bytes: 1 };
        },
        finish: async () => undefined,
      };
      await workerHere(performer);
      await enqueueRun(queue, stages, rules);
      while (began.length < 2) await wait(20);
      expect(await removeRun(queue, runId(stages))).toMatchObject({ jobs: 2, at_work: 2 });
      await enqueueRun(queue, stages, rules);
      // Another worker plans it, and is at the third part; then all of them end.
      await workerHere(performer);
      while (began.length < 3) await wait(20);
      end();
      while ((await queue.getJobCountByTypes('completed')) === 0) await wait(20);
      expect(await counts()).toEqual({ ...EMPTY, completed: 1 });
      expect(began.sort()).toEqual([0, 1, 2]);
    });

    it('adds no part of a plan that was being made', async () => {
      const stages = [{ name: 'score', score: { shards: ['x.parquet'], reference: 'm', out: 'o' } }];
      let planned = (): void => undefined;
      let begun = (): void => undefined;
      const planning = new Promise<void>((resolve) => {
        begun = resolve;
      });
      await workerHere({
        plan: async () => {
          begun();
          await new Promise<void>((resolve) => {
            planned = resolve;
          });
          const left = [0, 1, 2].map((part) => ({ shard: 'x.parquet', part, fingerprint: 'f' }));
          return { left, told: none, broken: 0, quarantined: false };
        },
      });
      await enqueueRun(queue, stages, rules);
      await planning;
      expect(await removeRun(queue, runId(stages))).toMatchObject({ at_work: 1 });
      const putIn = enqueueRun(queue, stages, rules);
      await wait(500);
      // The new one waits for the old one's stage to be over.
      expect(await counts()).toEqual({ ...EMPTY, active: 1 });
      planned();
      expect(await putIn).toMatchObject({ state: 'added' });
      expect(await removeRun(queue, runId(stages))).toMatchObject({ at_work: expect.any(Number) });
      planned();
      expect(await removeRun(queue, runId(stages), 30_000)).toMatchObject({ at_work: 0 });
      expect(await counts()).toEqual(EMPTY);
    });
  });
});
