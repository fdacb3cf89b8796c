import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { isRunning, type ProcessIdentity } from '#tokensieve/storage/process-identity.js';
import { digestFolder, runCli } from '../support/cli.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { type Ask, asking, killServices, smallJob, startService, streamOf, until } from './server.js';

const root = temporaryFolder();
let expected: Record<string, string>;

afterEach(killServices);

/** What the command line makes of the same pipeline, undisturbed. */
beforeAll(async () => {
  await quickstartInputs(join(root, 'inputs'));
  await manySmallParts(join(root, 'corpus'));
  writeFileSync(join(root, 'pipeline.yaml'), stringify(smallJob({ out: 'undisturbed' })));
  const { code, stderr } = await runCli(['run', 'pipeline.yaml', '--log', 'none'], root);
  expect(code, stderr).toBe(3);
  expected = outputs('undisturbed');
  expect(Object.keys(expected).length).toBeGreaterThan(40);
});

const outputs = (folder: string): Record<string, string> => ({
  ...prefixed('scored', digestFolder(join(root, folder, 'scored'))),
  ...prefixed('weighted', digestFolder(join(root, folder, 'weighted'))),
});
const prefixed = (prefix: string, digests: Record<string, string>) =>
  Object.fromEntries(Object.entries(digests).map(([name, digest]) => [`${prefix}/${name}`, digest]));

const recordOf = (id: string) => JSON.parse(readFileSync(join(root, 'jobs', id, 'job.json'), 'utf8'));

/** The process that announced itself in a job's folder. */
function processOf(id: string): ProcessIdentity {
  const folder = join(root, 'jobs', id);
  const name = readdirSync(folder).find((one) => /^\.process-[0-9a-f]+\.json$/.test(one)) ?? '';
  return JSON.parse(readFileSync(join(folder, name), 'utf8'));
}

/** Waits until so many parts are done. */
async function partsDone(url: string, id: string, parts: number): Promise<void> {
  let left = parts;
  for await (const { event, data } of streamOf(`${url}/v1/jobs/${id}/events`)) {
    if (event === 'log' && data.event === 'part-done' && --left === 0) return;
  }
}

const submit = async (ask: Ask, settings = smallJob()): Promise<string> =>
  (await ask('POST', '/v1/jobs', { settings })).body.id;

/** A job that only scores: the same parts in less time. */
const scoring = smallJob({ select: undefined });
const scoredOnly = (digests: Record<string, string>) =>
  Object.fromEntries(Object.entries(digests).filter(([name]) => name.startsWith('scored/')));

describe('a service that is killed mid-job', { timeout: 600_000 }, () => {
  it('finds the process that lives on, stops it, and goes on to the same bytes', async () => {
    const first = await startService(root);
    const id = await submit(asking(first.url));
    const next = await submit(asking(first.url));
    await partsDone(first.url, id, 3);
    await first.stop('SIGKILL');
    const orphan = processOf(id);
    expect(await isRunning(orphan)).toBe(true);
    expect(recordOf(id)).toMatchObject({ state: 'running', attempts: 1 });

    const second = await startService(root);
    // Before anything else is started.
    expect(await isRunning(orphan)).toBe(false);
    const ask = asking(second.url);
    const done = await until(ask, id, 'quarantined', 'failed', 'done');
    expect(done, second.output()).toMatchObject({ state: 'quarantined', attempts: 2, exit_code: 3 });
    expect(outputs(`jobs/${id}/out`)).toEqual(expected);
    expect(recordOf(id).transitions.map(({ state }: { state: string }) => state)).toEqual([
      'queued',
      'running',
      'queued',
      'running',
      'quarantined',
    ]);
    // It went before the one that was waiting.
    const { transitions } = recordOf(next);
    const started = transitions.find(({ state }: { state: string }) => state === 'running');
    if (started !== undefined) expect(started.at >= done.ended).toBe(true);
    // Parts that were done before were not made again.
    const log = readFileSync(join(root, 'jobs', id, 'log.jsonl'), 'utf8');
    const [, , again = ''] = log.split('"event":"attempt"');
    const planned = again.split('\n').find((line) => line.includes('"planned"')) ?? '{}';
    expect(JSON.parse(planned).done).toBeGreaterThanOrEqual(3);
    await ask('POST', `/v1/jobs/${next}/cancel`);
    await until(ask, next, 'cancelled', 'quarantined');
    expect(await second.stop()).toBe(0);
  });

  it('goes on when its process was killed too', async () => {
    const first = await startService(root);
    const id = await submit(asking(first.url), scoring);
    await partsDone(first.url, id, 2);
    const { pid } = processOf(id);
    await first.stop('SIGKILL');
    process.kill(-pid, 'SIGKILL');
    const second = await startService(root);
    expect(await until(asking(second.url), id, 'quarantined', 'failed')).toMatchObject({ attempts: 2 });
    expect(outputs(`jobs/${id}/out`)).toEqual(scoredOnly(expected));
    await second.stop();
  });
});

describe('a service that is killed again and again', { timeout: 600_000 }, () => {
  it('never has two processes at one job, and comes to the same bytes', async () => {
    let service = await startService(root);
    const id = await submit(asking(service.url), scoring);
    const folder = join(root, 'jobs', id);
    const random = seededRandom(20261123);
    for (let kill = 0; kill < 4; kill++) {
      await wait(random() * 2000);
      await service.stop('SIGKILL');
      service = await startService(root);
      const alive = [];
      for (const name of readdirSync(folder)) {
        if (!/^\.process-\w+\.json$/.test(name)) continue;
        const found = JSON.parse(readFileSync(join(folder, name), 'utf8'));
        if (await isRunning(found)) alive.push(found);
      }
      expect(alive.length).toBeLessThanOrEqual(1);
    }
    const done = await until(asking(service.url), id, 'quarantined', 'failed', 'cancelled');
    expect(done, service.output()).toMatchObject({ state: 'quarantined', error: null });
    expect(outputs(`jobs/${id}/out`)).toEqual(scoredOnly(expected));
    await service.stop();
  });
});

function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('a service that is asked to stop mid-job', { timeout: 600_000 }, () => {
  it('hands the job back, ends streams, and goes on at the next start', async () => {
    const first = await startService(root);
    const ask = asking(first.url);
    const id = await submit(ask, scoring);
    await partsDone(first.url, id, 2);
    const { pid, started } = processOf(id);
    let ended = false;
    const watching = (async () => {
      for await (const _ of streamOf(`${first.url}/v1/jobs/${id}/events`));
      ended = true;
    })();
    expect(await first.stop('SIGTERM')).toBe(0);
    await watching;
    expect(ended).toBe(true);
    expect(await isRunning({ pid, started })).toBe(false);
    expect(recordOf(id)).toMatchObject({ state: 'queued', attempt: null, exit_code: 130 });
    expect(readdirSync(join(root, 'jobs', id)).filter((name) => name.startsWith('.'))).toEqual([]);
    const left = readdirSync(join(root, 'jobs', id), { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => name.endsWith('.staging'))).toEqual([]);

    const second = await startService(root);
    expect(await until(asking(second.url), id, 'quarantined', 'failed')).toMatchObject({
      attempts: 2,
      error: null,
    });
    expect(outputs(`jobs/${id}/out`)).toEqual(scoredOnly(expected));
    await second.stop();
  });
});

describe('a root', { timeout: 600_000 }, () => {
  it('has one service', async () => {
    const service = await startService(root);
    const { code, stderr } = await runCli(['serve', '--root', root, '--port', '0']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/jobs: another service has these jobs/);
    await service.stop();
  });
});
