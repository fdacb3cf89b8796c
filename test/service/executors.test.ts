import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { queuePlace } from '#tokensieve/queue/connection.js';
import { closeQueue, openQueue } from '#tokensieve/queue/open-queue.js';
import { isRunning, type ProcessIdentity } from '#tokensieve/storage/process-identity.js';
import { startWorker, timesMade, type Worker } from '../queue/run-in-queue.js';
import { digestFolder, runCli } from '../support/cli.js';
import {
  manySmallParts,
  quickstartInputs,
  shardsOfManyParts,
  temporaryFolder,
} from '../support/quickstart.js';
import { redisServerPath, startRedis, type TestRedis } from '../support/redis.js';
import { EMPTY_PIPELINE, serviceHere } from './in-process.js';
import { asking, killServices, smallJob, startService, streamOf, until } from './server.js';

const root = temporaryFolder();
const config = join(root, 'serve.yaml');
/** Scores alone: there is no audit after it. */
const scoring = smallJob({ select: undefined });
let expected: Record<string, string>;
/** Scored by the command alone: what any executor must come to. */
async function scoredByOne(name: string, settings: Record<string, unknown>): Promise<Record<string, string>> {
  writeFileSync(join(root, `${name}.yaml`), stringify({ ...settings, out: name }));
  const { code, stderr } = await runCli(['run', `${name}.yaml`, '--log', 'none'], root);
  expect(code, stderr).toBe(3);
  return digestFolder(join(root, name, 'scored'));
}

beforeAll(async () => {
  delete process.env['TOKENSIEVE_REDIS_URL'];
  await quickstartInputs(join(root, 'inputs'));
  await manySmallParts(join(root, 'corpus'));
  writeFileSync(config, stringify({ array: { count: 2 } }));
  expected = await scoredByOne('local', scoring);
  expect(Object.keys(expected).length).toBeGreaterThan(20);
});
afterEach(killServices);

const folderOf = (id: string): string => join(root, 'jobs', id);
const outputsOf = (id: string): Record<string, string> => digestFolder(join(folderOf(id), 'out/scored'));
const recordOf = (id: string) => JSON.parse(readFileSync(join(folderOf(id), 'job.json'), 'utf8'));
const manifestsOf = (outputs: Record<string, string>): string[] =>
  Object.keys(outputs).filter((path) => path.endsWith('.manifest.json'));
const serve = () => startService(root, '--config', config);

/** Waits until lines of the job's log are as wanted. */
// biome-ignore lint/suspicious/noExplicitAny: lines are what they are
async function logged(url: string, id: string, isEnough: (lines: readonly any[]) => boolean): Promise<void> {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const lines: any[] = [];
  for await (const { event, data } of streamOf(`${url}/v1/jobs/${id}/events`)) {
    if (event === 'log') lines.push(data);
    if (isEnough(lines)) return;
  }
}
const partsDone = (parts: number) => (lines: readonly { readonly event: string }[]) =>
  lines.filter(({ event }) => event === 'part-done').length >= parts;

describe('a service', () => {
  it('offers what it was given, and refuses the rest with what to set', async () => {
    const { ask } = await serviceHere();
    expect((await ask('GET', '/v1/executors')).body).toEqual({ executors: ['local'], default: 'local' });
    const refused = async (executor: string) => {
      const { status, body } = await ask('POST', '/v1/jobs', { pipeline: EMPTY_PIPELINE, executor });
      return [status, body.error.code, body.error.message];
    };
    expect(await refused('queue')).toEqual([
      400,
      'no-executor',
      expect.stringContaining('start it with TOKENSIEVE_REDIS_URL set'),
    ]);
    expect(await refused('array')).toEqual([400, 'no-executor', expect.stringContaining('array: { count')]);
    expect((await refused('cloud')).slice(0, 2)).toEqual([400, 'bad-request']);
    // What launches processes is the operator's alone.
    const forbidden = [
      ...[{ launcher: ['sh'] }, { array: { count: 1, launcher: ['sh'] } }, { queue: 'other' }],
      ...[{ redis: 'redis://127.0.0.1' }, { pipeline: `${EMPTY_PIPELINE}launcher: [sh]\n` }],
      ...[{ pipeline: `${EMPTY_PIPELINE}redis: redis://127.0.0.1\n`, executor: 'local' }],
    ];
    for (const more of forbidden) {
      const { status, body } = await ask('POST', '/v1/jobs', { pipeline: EMPTY_PIPELINE, ...more });
      expect([status, body.error.code], JSON.stringify(more)).toEqual([
        400,
        expect.stringMatching(/^bad-(request|settings)$/),
      ]);
    }
    await expect(serviceHere({ executor: 'queue' })).rejects.toThrow(/TOKENSIEVE_REDIS_URL/);
    await expect(serviceHere({ executor: 'array' })).rejects.toThrow(/array: \{ count/);
    const other = await serviceHere({ executor: 'array', array: { count: 2 } });
    expect((await other.ask('GET', '/v1/executors')).body).toEqual({
      executors: ['local', 'array'],
      default: 'array',
    });
  });
});

describe('a job of an array of two processes', { timeout: 600_000 }, () => {
  it('outlives its service: both are found, stopped, and the same bytes come of it', async () => {
    // Of long documents: the first of two processes is still at work when the second begins, on however busy a machine.
    await shardsOfManyParts(join(root, 'long'), 2);
    const shards = ['corpus/**/*.{parquet,jsonl.gz}', 'long/*.parquet'];
    const longer = smallJob({ select: undefined, shards });
    const wanted = await scoredByOne('longer', longer);
    const first = await serve();
    const ask = asking(first.url);
    const { body } = await ask('POST', '/v1/jobs', { settings: longer, executor: 'array' });
    const { id } = body;
    expect(body).toMatchObject({ executor: 'array' });
    const started = (index: number) => (line: { event: string; array_index?: number }) =>
      line.event === 'part-started' && line.array_index === index;
    await logged(first.url, id, (lines) => lines.some(started(0)) && lines.some(started(1)));
    await first.stop('SIGKILL');
    const processes = readdirSync(folderOf(id))
      .filter((name) => /^\.process-[0-9a-f]+-[01]\.json$/.test(name))
      .map((name) => JSON.parse(readFileSync(join(folderOf(id), name), 'utf8')) as ProcessIdentity);
    expect(new Set(processes.map(({ pid }) => pid)).size).toBe(2);

    const second = await serve();
    for (const one of processes) expect(await isRunning(one)).toBe(false);
    const askAgain = asking(second.url);
    const done = await until(askAgain, id, 'quarantined', 'failed', 'done');
    expect(done, second.output()).toMatchObject({ state: 'quarantined', attempts: 2, executor: 'array' });
    expect(outputsOf(id)).toEqual(wanted);
    expect(done.progress.parts_done).toBe(done.progress.parts);
    expect(done.progress.parts).toBeGreaterThan(8);
    expect(readdirSync(folderOf(id)).filter((name) => name.startsWith('.'))).toEqual([]);

    // Cancelled, both end; the finished parts stay.
    const { body: other } = await askAgain('POST', '/v1/jobs', { settings: longer, executor: 'array' });
    await logged(second.url, other.id, partsDone(1));
    await askAgain('POST', `/v1/jobs/${other.id}/cancel`);
    expect((await until(askAgain, other.id, 'cancelled', 'quarantined')).state).toBe('cancelled');
    expect(readdirSync(folderOf(other.id)).filter((name) => name.startsWith('.'))).toEqual([]);
    await second.stop();
  });
});

describe.skipIf(redisServerPath === null)('a job of the queue', { timeout: 600_000 }, () => {
  let redis: TestRedis;
  let queue: Queue;
  let worker: Worker;
  beforeAll(async () => {
    redis = await startRedis();
    process.env['TOKENSIEVE_REDIS_URL'] = redis.url;
    queue = await openQueue(queuePlace(redis.url));
    worker = startWorker(redis);
  });
  afterAll(async () => {
    delete process.env['TOKENSIEVE_REDIS_URL'];
    worker.child.kill('SIGTERM');
    await worker.outcome;
    await closeQueue(queue);
    await redis.close();
  });
  /** Jobs of the queue that are not over. */
  const left = async (): Promise<number> => {
    const counts = await queue.getJobCounts('active', 'wait', 'prioritized', 'delayed', 'waiting-children');
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
  };
  const begun = (): number => worker.events.filter(({ event }) => event === 'part-started').length;

  it('is made by its workers, to the same bytes; a service that is killed is followed by another', async () => {
    const first = await serve();
    const ask = asking(first.url);
    expect((await ask('GET', '/v1/executors')).body.executors).toEqual(['local', 'queue', 'array']);
    const { body } = await ask('POST', '/v1/jobs', { settings: scoring, executor: 'queue' });
    const { id } = body;
    await logged(first.url, id, partsDone(2));
    const parts = (await ask('GET', `/v1/jobs/${id}/parts`)).body.parts;
    expect(parts.filter(({ state }: { state: string }) => state === 'done').length).toBeGreaterThanOrEqual(2);
    const record = recordOf(id);
    expect(record).toMatchObject({ state: 'running', queued_run: expect.stringMatching(/^[0-9a-f]{16}$/) });
    const before = begun();
    await first.stop('SIGKILL');

    const second = await serve();
    const askAgain = asking(second.url);
    const done = await until(askAgain, id, 'quarantined', 'failed', 'done');
    expect(done, second.output()).toMatchObject({ state: 'quarantined', executor: 'queue', error: null });
    expect(recordOf(id)).toMatchObject({ queued_run: null, attempts: 2 });
    expect(outputsOf(id)).toEqual(expected);
    expect(begun()).toBeGreaterThanOrEqual(before);
    // The run went on meanwhile: no part was made twice.
    expect([...new Set(timesMade([worker]).values())]).toEqual([1]);
    expect(timesMade([worker]).size).toBe(manifestsOf(expected).length);
    expect(await left()).toBe(0);
    await second.stop();
  });

  it('is out of the queue when it is cancelled, gets no further part, and is retried and deleted', async () => {
    const service = await serve();
    const ask = asking(service.url);
    const { body } = await ask('POST', '/v1/jobs', { settings: scoring, executor: 'queue' });
    const { id } = body;
    await logged(service.url, id, partsDone(1));
    expect((await ask('POST', `/v1/jobs/${id}/cancel`)).body.state).toBe('cancelling');
    const cancelled = await until(ask, id, 'cancelled', 'quarantined');
    expect(cancelled).toMatchObject({ state: 'cancelled', error: null });
    // Nothing waits and nothing is in work: what is not made now is not made.
    expect(await left()).toBe(0);
    expect(manifestsOf(outputsOf(id)).length).toBeLessThan(manifestsOf(expected).length);

    expect((await ask('POST', `/v1/jobs/${id}/retry`)).status).toBe(200);
    expect(await until(ask, id, 'quarantined', 'failed')).toMatchObject({ state: 'quarantined' });
    expect(outputsOf(id)).toEqual(expected);
    expect((await ask('DELETE', `/v1/jobs/${id}`)).status).toBe(204);

    // The service stops, the run goes on; a job that waits to be followed again is taken out of the queue too.
    await queue.pause();
    const { body: other } = await ask('POST', '/v1/jobs', { settings: scoring, executor: 'queue' });
    while ((await left()) === 0) await wait(100);
    await service.stop();
    expect(recordOf(other.id)).toMatchObject({ state: 'queued', queued_run: expect.any(String) });
    expect(await left()).toBe(1);
    writeFileSync(
      join(folderOf(other.id), 'job.json'),
      JSON.stringify({ ...recordOf(other.id), state: 'cancelling' }),
    );
    const again = await serve();
    expect(await until(asking(again.url), other.id, 'cancelled')).toMatchObject({ error: null });
    expect(await left()).toBe(0);
    await again.stop();
    await queue.resume();
  });
});
