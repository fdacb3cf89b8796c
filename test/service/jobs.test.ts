import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestFolder } from '../support/cli.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import {
  type Ask,
  asking,
  type RunningService,
  type StreamEvent,
  smallJob,
  startService,
  streamOf,
  until,
} from './server.js';

const root = temporaryFolder();
const jobFolder = (id: string): string => join(root, 'jobs', id);
let service: RunningService;
let ask: Ask;

beforeAll(async () => {
  await quickstartInputs(join(root, 'inputs'));
  await manySmallParts(join(root, 'corpus'));
  writeFileSync(join(root, 'corpus/broken.parquet'), 'PAR1 and nothing more');
  service = await startService(root);
  ask = asking(service.url);
});
afterAll(() => service.stop());

/** Of a plain request: `fetch` adds headers of its own to conditional ones. */
const statusOf = (address: string, headers: Record<string, string>): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const sent = httpGet(address, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on('error', reject);
  });

const submit = async (settings: Record<string, unknown>, name?: string): Promise<string> => {
  const { status, body } = await ask('POST', '/v1/jobs', { settings, ...(name !== undefined && { name }) });
  expect(status, JSON.stringify(body)).toBe(201);
  return body.id;
};

describe('a job', () => {
  let id: string;
  const events: StreamEvent[] = [];
  beforeAll(async () => {
    id = await submit(smallJob(), 'small');
    for await (const event of streamOf(`${service.url}/v1/jobs/${id}/events`)) events.push(event);
  });

  it('is watched from the queue to its end', async () => {
    const states = events.flatMap(({ event, data }) => (event === 'job' ? [data.state] : []));
    expect(['queued', 'running']).toContain(states[0]);
    // The jsonl shard has rows without text, and one shard is broken.
    expect(states.at(-1)).toBe('quarantined');
    expect(events.at(-1)?.event).toBe('job');
    const lines = events.filter(({ event }) => event === 'log');
    expect(lines.map((line) => line.id)).toEqual(lines.map((_, i) => i + 1));
    const parts = events.flatMap(({ event, data }) => (event === 'progress' ? [data.parts_done] : []));
    expect(Math.max(...parts)).toBeGreaterThan(10);
    const { data: end } = events.at(-1)!;
    expect(end).toMatchObject({ name: 'small', exit_code: 3, attempts: 1, error: null, position: null });
    expect(end.progress.parts_done).toBe(end.progress.parts);
    expect(end.totals.kept / end.totals.eligible).toBeCloseTo(0.5, 2);
    expect(end.started >= end.submitted && end.ended > end.started).toBe(true);
    expect((await ask('GET', `/v1/jobs/${id}`)).body).toEqual(end);
  });

  it('is watched again from any line, in any pieces', async () => {
    const lines = events.filter(({ event }) => event === 'log');
    const again: StreamEvent[] = [];
    const headers = { 'last-event-id': '7' };
    for await (const event of streamOf(`${service.url}/v1/jobs/${id}/events`, headers)) again.push(event);
    expect(again.filter(({ event }) => event === 'log')).toEqual(lines.slice(7));
    expect(again.at(-1)).toMatchObject({ event: 'job', data: { state: 'quarantined' } });
    const paged: unknown[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const { body } = await ask('GET', `/v1/jobs/${id}/log?after=${after}&limit=9`);
      paged.push(...body.lines);
      after = body.next;
    }
    expect(paged).toEqual(lines.map(({ id: line, data: event }) => ({ line, event })));
    const file = readFileSync(join(jobFolder(id), 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines.map(({ data }) => data)).toEqual(file.map((text) => JSON.parse(text)));
  });

  it('says what its parts are, and what was set aside for which reason', async () => {
    const { body } = await ask('GET', `/v1/jobs/${id}/parts`);
    const kinds = (kind: string) => body.parts.filter((part: { kind: string }) => part.kind === kind);
    expect(kinds('scored').length).toBe(kinds('weighted').length);
    expect(body.total).toBe(body.parts.length);
    for (const part of body.parts) expect(part).toMatchObject({ state: 'done', seconds: expect.any(Number) });
    const { body: page } = await ask('GET', `/v1/jobs/${id}/parts?offset=2&limit=3`);
    expect(page).toEqual({ parts: body.parts.slice(2, 5), total: body.total });
    const { body: aside } = await ask('GET', `/v1/jobs/${id}/quarantine`);
    expect(aside.reasons['broken-shard']).toBe(1);
    expect(aside.total).toBe(aside.rows.length);
    expect(aside.rows).toContainEqual(expect.objectContaining({ shard: 'broken.parquet', part: null }));
    expect(aside.rows).toContainEqual(expect.objectContaining({ shard: 'b/more.jsonl.gz', row: 7 }));
    expect((await ask('GET', `/v1/jobs/${id}/quarantine?limit=1`)).body.rows.length).toBe(1);
  });

  it('gives its files, whole and in ranges', async () => {
    const { body: listed } = await ask('GET', `/v1/jobs/${id}/artifacts`);
    const paths = listed.files.map(({ path }: { path: string }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['log.jsonl', 'output.txt', 'pipeline.yaml', 'audit/report.html']),
    );
    const path = paths.find((one: string) => one.endsWith('00000.arrow'));
    const bytes = readFileSync(join(jobFolder(id), path));
    const address = `${service.url}/v1/jobs/${id}/artifacts/${path}`;
    const get = async (headers: Record<string, string> = {}) => {
      const response = await fetch(address, { headers });
      return { response, got: Buffer.from(await response.arrayBuffer()) };
    };
    const whole = await get();
    expect(whole.got.equals(bytes)).toBe(true);
    expect(whole.response.headers.get('content-type')).toBe('application/vnd.apache.arrow.file');
    expect(whole.response.headers.get('x-content-type-options')).toBe('nosniff');
    const ranges: [string, Buffer][] = [
      ['bytes=0-0', bytes.subarray(0, 1)],
      ['bytes=10-19', bytes.subarray(10, 20)],
      ['bytes=-5', bytes.subarray(-5)],
      [`bytes=${bytes.length - 3}-`, bytes.subarray(-3)],
    ];
    for (const [range, expected] of ranges) {
      const { response, got } = await get({ range });
      expect([response.status, got.equals(expected)], range).toEqual([206, true]);
      expect(response.headers.get('content-range')).toMatch(new RegExp(`^bytes \\d+-\\d+/${bytes.length}$`));
    }
    const beyond = await get({ range: `bytes=${bytes.length}-` });
    expect(beyond.response.status).toBe(416);
    expect(JSON.parse(beyond.got.toString()).error.code).toBe('range-beyond-file');
    const etag = whole.response.headers.get('etag') ?? '';
    expect(await statusOf(address, { 'if-none-match': etag })).toBe(304);
    expect((await get({ range: 'bytes=0-9', 'if-range': '"other"' })).response.status).toBe(200);
    for (const wrong of [
      'job.json',
      '.process-1.json',
      '..%2f..%2fsecret',
      '%2e%2e/job.json',
      'out',
      'a%00b',
      '%2fetc%2fpasswd',
    ])
      expect((await ask('GET', `/v1/jobs/${id}/artifacts/${wrong}`)).status, wrong).toBe(404);
  });

  it('ends with an audit, whose page may do nothing', async () => {
    const report = await ask('GET', `/v1/jobs/${id}/report`);
    expect(report.body).toContain('<html');
    expect(report.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(report.headers.get('content-security-policy')).toMatch(
      /^sandbox allow-scripts.*default-src 'none'/,
    );
    const { body: audit } = await ask('GET', `/v1/jobs/${id}/audit`);
    const { body: detail } = await ask('GET', `/v1/jobs/${id}`);
    expect(audit.totals.kept).toBe(detail.totals.kept);
    expect(detail.has_report).toBe(true);
  });

  it('has a plan for the asking', async () => {
    const { status, body } = await ask('POST', '/v1/plans', { settings: smallJob() });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body.plan.cost.parts).toBeGreaterThan(10);
    expect(body.plan.broken.length).toBe(1);
    expect(body.text).toMatch(/^shards +3, and 1 broken$/m);
  });
});

describe('several jobs', () => {
  it('wait in order, one at work, and may be cancelled, retried and deleted', async () => {
    const first = await submit(smallJob({ shards: ['corpus/{a,b}/*'] }));
    const second = await submit(smallJob({ shards: ['corpus/a/*'] }));
    const third = await submit(smallJob({ shards: ['corpus/a/*.parquet'] }));
    const now = async (id: string) => (await ask('GET', `/v1/jobs/${id}`)).body;
    expect([(await now(second)).position, (await now(third)).position]).toEqual([1, 2]);
    expect((await ask('POST', `/v1/jobs/${second}/retry`)).status).toBe(409);
    expect((await ask('POST', `/v1/jobs/${second}/cancel`)).body).toMatchObject({
      state: 'cancelled',
      position: null,
    });
    expect((await now(third)).position).toBe(1);
    expect((await ask('DELETE', `/v1/jobs/${first}`)).body.error?.code).toBe('wrong-state');

    // Cancelled in work: what it has finished stays.
    for await (const { event, data } of streamOf(`${service.url}/v1/jobs/${first}/events`)) {
      if (event === 'log' && data.event === 'part-done') break;
    }
    expect((await ask('POST', `/v1/jobs/${first}/cancel`)).body.state).toBe('cancelling');
    expect((await ask('POST', `/v1/jobs/${first}/cancel`)).body.error.code).toBe('wrong-state');
    const stopped = await until(ask, first, 'cancelled');
    expect(stopped).toMatchObject({ exit_code: 130, error: null, attempts: 1 });
    expect(stopped.totals.tokens).toBeGreaterThan(0);

    const done = await until(ask, third, 'done');
    expect(done.exit_code).toBe(0);
    expect((await ask('POST', `/v1/jobs/${third}/retry`)).status).toBe(409);
    const { body: page } = await ask('GET', '/v1/jobs?limit=2');
    expect(page.jobs.map((job: { id: string }) => job.id)).toEqual([third, second]);
    const { body: older } = await ask('GET', `/v1/jobs?limit=1&before=${page.next}`);
    expect(older.jobs[0].id).toBe(first);
    const { body: cancelled } = await ask('GET', '/v1/jobs?state=cancelled');
    expect(cancelled.jobs.map((job: { id: string }) => job.id)).toEqual([second, first]);

    // Goes on where it was, to the same bytes that another job has made of the same shard.
    expect((await ask('POST', `/v1/jobs/${second}/retry`)).body.state).toMatch(/queued|running/);
    expect((await until(ask, second, 'done', 'failed')).attempts).toBe(1);
    const scored = (id: string) => digestFolder(join(jobFolder(id), 'out/scored'));
    expect(scored(second)).toEqual(scored(third));

    expect((await ask('DELETE', `/v1/jobs/${third}`)).status).toBe(204);
    expect(existsSync(jobFolder(third))).toBe(false);
    for (const path of ['', '/log', '/events', '/parts', '/artifacts', '/report'])
      expect((await ask('GET', `/v1/jobs/${third}${path}`)).body.error.code).toBe('no-such-job');
  });

  it('fail with what the command said, and may be tried again', async () => {
    const id = await submit(smallJob({ reference: 'corpus', current: undefined, select: undefined }));
    const failed = await until(ask, id, 'failed', 'done');
    expect(failed.exit_code).toBeGreaterThan(0);
    expect(failed.error).toMatch(/corpus: holds a data set .* and no model/);
    expect(failed.error).not.toMatch(/^tokensieve:|\n/);
    await ask('POST', `/v1/jobs/${id}/retry`);
    expect(await until(ask, id, 'failed')).toMatchObject({ attempts: 2 });
  });

  it('are counted in the metrics', async () => {
    const { body } = await ask('GET', '/metrics');
    expect(body).toMatch(/^tokensieve_jobs\{state="failed"\} 1$/m);
    expect(body).toMatch(/^tokensieve_quarantined_rows [1-9]/m);
    expect(body).toMatch(
      /^tokensieve_http_request_seconds_count\{method="GET",route="\/v1\/jobs\/:id",status="200"\} \d/m,
    );
    expect(body).toMatch(/^nodejs_eventloop_lag_seconds /m);
    expect(body).toMatch(/^process_resident_memory_bytes /m);
  });
});
