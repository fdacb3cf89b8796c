import { setTimeout as wait } from 'node:timers/promises';
import { Job, type Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { queuePlace } from '#tokensieve/queue/connection.js';
import { enqueueRun, followRun } from '#tokensieve/queue/enqueue.js';
import { closeQueue, openQueue } from '#tokensieve/queue/open-queue.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';
import { workersHere } from './worker-here.js';

describe.skipIf(redisServerPath === null)('whoever follows a run', () => {
  let redis: TestRedis;
  let queue: Queue;
  beforeAll(async () => {
    redis = await startRedis();
    queue = await openQueue(queuePlace(redis.url));
  });
  afterEach(() => vi.restoreAllMocks());
  afterAll(async () => {
    await closeQueue(queue);
    await redis.close();
  });
  const workerHere = workersHere(() => queuePlace(redis.url));

  it('hears that input was set aside though the run ends between two looks at it', async () => {
    const rules = { attempts: 1, backoff: 0, priority: 1000, replace: false };
    const stages = [{ name: 'audit', audit: { run: 'x' } }];
    await enqueueRun(queue, stages, rules);

    // The first question of all is answered before the run is over, every later one after.
    let asked = 0;
    let mayEnd = (): void => undefined;
    const firstAnswered = new Promise<void>((resolve) => {
      mayEnd = resolve;
    });
    const over = async (): Promise<void> => {
      while ((await queue.getJobCountByTypes('completed')) === 0) await wait(20);
    };
    const late = <A extends unknown[], R>(ask: (...args: A) => Promise<R>) =>
      async function (this: unknown, ...args: A): Promise<R> {
        const isFirst = asked++ === 0;
        if (!isFirst) await over();
        const answer = await ask.apply(this, args);
        if (isFirst) mayEnd();
        return answer;
      };
    const [stateOf, fromId, ownState] = [queue.getJobState, Job.fromId, Job.prototype.getState];
    vi.spyOn(queue, 'getJobState').mockImplementation(late(stateOf));
    vi.spyOn(Job, 'fromId').mockImplementation(late(fromId));
    vi.spyOn(Job.prototype, 'getState').mockImplementation(late(ownState));

    await workerHere({
      single: async () => {
        await firstAnswered;
        return { quarantined: true };
      },
    });
    const told: string[] = [];
    const place = queuePlace(redis.url);
    const sink = ({ event }: { readonly event: string }) => void told.push(event);
    const signal = AbortSignal.timeout(200_000);
    expect(await followRun({ place, queue, stages, rules, sink, signal })).toEqual({ quarantined: true });
  });
});
