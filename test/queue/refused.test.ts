/** What a Redis refuses, in words of ours: a real one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { queuePlace } from '#tokensieve/queue/connection.js';
import { closeQueue, openQueue } from '#tokensieve/queue/open-queue.js';
import { queueError } from '#tokensieve/queue/queue-error.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';

if (redisServerPath === null) console.warn('skipped: no redis-server here (what a Redis refuses)');

describe.skipIf(redisServerPath === null)('a Redis', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.close());

  it('that has no such database is refused at the start, not used by its database 0', async () => {
    await expect(openQueue(queuePlace(`${redis.url}/9999`))).rejects.toMatchObject({
      code: 'redis-refused',
      message: expect.stringMatching(/has no database 9999 .*name another in the URL/),
    });
    const keys = await redis.command((client) => client.dbsize());
    expect(keys).toBe(0);
    await closeQueue(await openQueue(queuePlace(`${redis.url}/3`)));
  });

  it('whose memory is full says so, and what to do', async () => {
    await redis.command((client) => client.config('SET', 'maxmemory', '1'));
    const place = queuePlace(redis.url);
    const queue = await openQueue(place);
    const error = await queue.add('x', {}).catch((thrown: unknown) => queueError(place, thrown));
    await closeQueue(queue);
    await redis.command((client) => client.config('SET', 'maxmemory', '0'));
    expect(error).toMatchObject({
      code: 'redis-refused',
      reach: 'fatal',
      message: expect.stringMatching(/refuses \(OOM\): its memory is full; .*noeviction/),
    });
  });
});

it.each([
  ['redis://h/1?db=2', 'goes on behind the database'],
  ['redis://h#x', 'goes on behind the database'],
  ['redis://user:50%zz@h', '% that begins no code'],
])('%s is refused for what is not read', (url, why) => {
  expect(() => queuePlace(url)).toThrow(why);
});

it.each([
  ['Missing key for job 1', /the record of a job is gone or incomplete: it was deleted, or evicted/],
  ['Connection is closed.', /^Redis at h: Connection is closed\.; see that it runs/],
  ["READONLY You can't write against a read only replica.", /refuses \(READONLY\): it is a replica/],
])('%s is said in our words', (said, told) => {
  expect((queueError({ name: 'h' }, new Error(said)) as Error).message).toMatch(told);
  const own = new TypeError('a mistake of the program');
  expect(queueError({ name: 'h' }, own)).toBe(own);
});
