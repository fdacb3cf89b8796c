import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { type Ask, asking, type RunningService, smallJob, startService, until } from './server.js';

const root = temporaryFolder();
let service: RunningService;
let ask: Ask;

beforeAll(async () => {
  await quickstartInputs(join(root, 'inputs'));
  await manySmallParts(join(root, 'corpus'));
  service = await startService(root);
  ask = asking(service.url);
});
afterAll(() => service.stop());

describe('a job', () => {
  it('is submitted, runs, and says what it did', async () => {
    const made = await ask('POST', '/v1/jobs', { name: 'small', settings: smallJob() });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    const { id } = made.body;
    expect(made.headers.get('location')).toBe(`/v1/jobs/${id}`);
    expect(made.body).toMatchObject({ name: 'small', attempts: expect.any(Number) });
    const done = await until(ask, id, 'done', 'quarantined', 'failed');
    // The jsonl shard has rows without text.
    expect(done, service.output()).toMatchObject({
      state: 'quarantined',
      exit_code: 3,
      attempts: 1,
      error: null,
    });
    expect(done.totals.kept / done.totals.eligible).toBeCloseTo(0.5, 2);
    expect(done.totals.quarantined_rows).toBeGreaterThan(0);
    const { body: parts } = await ask('GET', `/v1/jobs/${id}/parts`);
    expect(parts.total).toBeGreaterThan(20);
    expect(new Set(parts.parts.map(({ state }: { state: string }) => state))).toEqual(new Set(['done']));
  });
});
