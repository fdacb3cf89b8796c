import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { digestFolder, runCli } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';
import {
  type QueueInputs,
  queueCommand,
  queueInputs,
  startInQueue,
  startWorker,
  timesMade,
  type Worker,
} from './run-in-queue.js';

const PASSWORD = 'correct-horse-battery';

describe.skipIf(redisServerPath === null)('a queue of parts', { timeout: 900_000 }, () => {
  const folder = temporaryFolder();
  let inputs: QueueInputs;
  let redis: TestRedis;
  let expected: Record<string, string>;
  const started: Worker[] = [];
  const worker = (...more: string[]): Worker => {
    const one = startWorker(redis, ...more);
    started.push(one);
    return one;
  };
  const follow = (file: string, ...more: string[]): Worker => {
    const one = startInQueue(redis, ['enqueue', file, '--follow', ...more]);
    started.push(one);
    return one;
  };
  const manifests = (): number =>
    Object.keys(expected).filter((path) => /scored\/.*\.manifest\.json$/.test(path)).length;

  beforeAll(async () => {
    inputs = await queueInputs(folder);
    redis = await startRedis({ password: PASSWORD });
    const { file, out } = inputs.pipeline('local');
    const { code, stderr } = await runCli(['run', file, '--log', 'none']);
    expect(code, stderr).toBe(3);
    expected = digestFolder(out);
    expect(manifests()).toBeGreaterThan(8);
  });
  afterEach(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.splice(0).map(({ outcome }) => outcome));
    await redis.command((client) => client.flushall());
  });
  afterAll(() => redis.close());

  it('is emptied by three workers, one of them killed, to the bytes of one process', async () => {
    const { file, out } = inputs.pipeline('three');
    const following = follow(file);
    // None ends by itself, as one could find nothing to do between two stages; whichever is the first at a part is killed.
    const three = [worker(), worker(), worker()];
    const killed = await Promise.race(three.map((one) => one.seen('part-started').then(() => one)));
    killed.child.kill('SIGKILL');
    const others = three.filter((one) => one !== killed);
    const { code, stdout, stderr } = await following.outcome;
    // 3: the jsonl shard has rows without text, which are set aside.
    expect(code, stderr).toBe(3);
    expect(stdout).toContain('done, with rows or shards set aside');
    expect(digestFolder(out)).toEqual(expected);
    const made = timesMade(three);
    // Scored parts, and weighted ones, by jobs of their own.
    expect(new Set(made.values())).toEqual(new Set([2]));
    expect(made.size).toBe(manifests());
    for (const { child } of others) child.kill('SIGTERM');
    const outcomes = await Promise.all(others.map(({ outcome }) => outcome));
    expect(outcomes.map((one) => one.code)).toEqual([0, 0]);

    const status = await queueCommand(redis, 'queue', 'status');
    expect(status.stdout).toMatch(/select \(2 of 2\) +completed/);
    const all = [
      stdout,
      stderr,
      status.stdout,
      status.stderr,
      ...outcomes.flatMap((one) => [one.stdout, one.stderr]),
    ];
    for (const text of all) expect(text).not.toContain(PASSWORD);

    // Again: everything is done, and nothing is made.
    const put = await queueCommand(redis, 'enqueue', file);
    expect(put.code, put.stderr).toBe(0);
    // Only now, as it ends where there is nothing to do.
    const last = worker('--until-empty');
    const again = follow(file);
    expect((await again.outcome).code).toBe(3);
    expect((await last.outcome).code).toBe(0);
    expect(timesMade([last]).size).toBe(0);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('sets a part aside that fails each time, with its reason, and goes on with it when the reason is gone', async () => {
    const { file, out } = inputs.pipeline('poison');
    // A folder where a part's file should be: it can be scored, and not committed.
    const blocked = join(out, 'slm/scored/a/web.parquet/00001.arrow');
    mkdirSync(blocked, { recursive: true });
    const one = worker();
    const { code, stderr } = await follow(file, '--attempts', '2', '--backoff', '0.1').outcome;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /stage score: 1 part\(s\) were given up .*a\/web\.parquet part 1: .*00001\.arrow: a folder has this name/,
    );
    expect(existsSync(join(out, 'slm/weighted'))).toBe(false);
    expect(timesMade([one]).size).toBe(manifests() - 1);
    const tries = one.events.filter(
      ({ event, part, shard }) => event === 'part-started' && part === 1 && shard === 'a/web.parquet',
    );
    expect(tries).toHaveLength(2);
    const { stdout } = await queueCommand(redis, 'queue', 'status');
    expect(stdout).toMatch(/a\/web\.parquet part 1: given up after 2 attempt\(s\): .*a folder has this name/);

    rmdirSync(blocked);
    const before = one.events.length;
    expect((await follow(file).outcome).code).toBe(3);
    const later = {
      ...one,
      events: one.events.slice(before).filter(({ event }) => event === 'part-started'),
    };
    const scored = later.events.slice(0, 1);
    expect(scored.map(({ shard, part }) => `${shard} ${part}`)).toEqual(['a/web.parquet 1']);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('is paused and resumed', async () => {
    const { file, out } = inputs.pipeline('paused');
    const one = worker();
    expect((await queueCommand(redis, 'queue', 'pause')).stdout).toContain('(paused)');
    const following = follow(file);
    await wait(3_000);
    expect(one.events.filter(({ event }) => event === 'part-started')).toEqual([]);
    expect((await queueCommand(redis, 'queue', 'resume')).stdout).not.toContain('(paused)');
    expect((await following.outcome).code).toBe(3);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('is built again from the manifests when it is flushed, and when its server is killed', async () => {
    const { file, out } = inputs.pipeline('lost');
    const workers = [worker(), worker()];
    const following = follow(file);
    await workers[0]?.seen('part-done');
    await redis.command((client) => client.flushall());
    await following.seen('warning');
    const before = timesMade(workers).size;
    while (timesMade(workers).size <= before) await wait(20);
    await redis.kill();
    await wait(500);
    await redis.start();
    const { code, stderr } = await following.outcome;
    expect(code, stderr).toBe(3);
    expect(stderr).toContain('the queue has lost the run; it was put in again');
    expect(digestFolder(out)).toEqual(expected);
  });

  it('gives a frozen worker’s part to another; two write it, and one output is left', async () => {
    const { file, out } = inputs.pipeline('frozen');
    const frozen = worker();
    const following = follow(file);
    const { shard, part } = await frozen.seen('part-started');
    frozen.child.kill('SIGSTOP');
    const other = worker();
    while (!timesMade([other]).has(`${shard} ${part}`)) await wait(50);
    frozen.child.kill('SIGCONT');
    expect((await following.outcome).code).toBe(3);
    // It ends what it was at, and its lease is gone: nothing counts it twice.
    const made = timesMade([frozen]);
    expect(made.get(`${shard} ${part}`)).toBeGreaterThanOrEqual(1);
    expect(digestFolder(out)).toEqual(expected);
    const status = JSON.parse((await queueCommand(redis, 'queue', 'status', '--json')).stdout);
    expect(status.jobs).toMatchObject({ active: 0, wait: 0, delayed: 0, failed: 0 });
  });

  it('is left in order by a worker that is stopped', async () => {
    const { file, out } = inputs.pipeline('stopped');
    const patient = worker();
    const following = follow(file);
    await patient.seen('part-started');
    patient.child.kill('SIGTERM');
    expect((await patient.outcome).code).toBe(0);
    const parts = (event: string) => patient.events.filter((one) => one.event === event).length;
    expect(parts('part-done')).toBe(parts('part-started'));
    expect(parts('part-given-up')).toBe(0);

    const hasty = worker('--grace', '0');
    await hasty.seen('part-started');
    hasty.child.kill('SIGTERM');
    expect((await hasty.outcome).code).toBe(0);
    const counts = await queueCommand(redis, 'queue', 'status', '--json');
    // Handed back, not left to be found by the end of its lease.
    expect(JSON.parse(counts.stdout).jobs.active).toBe(0);

    worker();
    expect((await following.outcome).code).toBe(3);
    expect(digestFolder(out)).toEqual(expected);
  });

  it('is refused without a Redis, and with a wrong password, which no message repeats', async () => {
    const { file } = inputs.pipeline('refused');
    const wrong = await runCli(['enqueue', file, '--redis', redis.url.replace(PASSWORD, 'not-the-word')]);
    expect([wrong.code, wrong.stderr.includes('check user and password')]).toEqual([2, true]);
    expect(wrong.stdout + wrong.stderr).not.toContain('not-the-word');
    const none = await runCli(['worker']);
    expect([none.code, none.stderr.includes('TOKENSIEVE_REDIS_URL')]).toEqual([2, true]);
  });
});
