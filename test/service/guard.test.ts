import { chmodSync, writeFileSync } from 'node:fs';
import { get, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createTickets, sameSecret, TICKET_MS } from '#tokensieve/service/http/token.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';
import { seedJob, serviceHere } from './in-process.js';
import { type Ask, asking, startService } from './server.js';

const TOKEN = 'correct-horse-battery-staple';
const JOB = '20260101t000000-0001';

const tokenFile = (folder: string, text = `${TOKEN}\n`, mode = 0o600): string => {
  const path = join(folder, `token-${Math.random()}`);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
};

/** A request as no client library would send it. */
const raw = (url: string, path: string, headers: Record<string, string>, method = 'GET'): Promise<number> =>
  new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, headers, setHost: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject).end();
  });

describe('secrets', () => {
  it('are compared whole, whatever their lengths', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        expect(sameSecret(a, b)).toBe(Buffer.from(a).equals(Buffer.from(b)));
        expect(sameSecret(a, a)).toBe(true);
      }),
    );
  });

  it('make tickets that are good for one job, for five minutes', () => {
    let now = 1_000_000;
    const tickets = createTickets(() => now);
    const { ticket, expires } = tickets.issue('a');
    expect(expires.getTime()).toBe(now + TICKET_MS);
    expect(tickets.isGood(ticket, 'a')).toBe(true);
    expect(tickets.isGood(ticket, 'b')).toBe(false);
    expect(createTickets(() => now).isGood(ticket, 'a')).toBe(false);
    const [until = '', signature = ''] = ticket.split('.');
    const later = (Number.parseInt(until, 36) + 1000).toString(36);
    expect(tickets.isGood(`${later}.${signature}`, 'a')).toBe(false);
    for (const wrong of ['', '.', 'x.y', `${until}.`, `.${signature}`, `NaN.${signature}`])
      expect(tickets.isGood(wrong, 'a')).toBe(false);
    now += TICKET_MS;
    expect(tickets.isGood(ticket, 'a')).toBe(false);
  });
});

describe('without a token', () => {
  it.each(['0.0.0.0', '::', '192.0.2.7', 'example.org'])('listening on %s is refused', async (host) => {
    const refused = await serviceHere({ host }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'no-token', reach: 'usage' });
  });

  it('the command says so in one line, with exit code 2', async () => {
    const refused = await runCli(['serve', '--host', '0.0.0.0', '--root', temporaryFolder(), '--port', '0']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/^tokensieve: --host 0\.0\.0\.0: others can reach .*--token-file/);
  });
});

describe('a token file', () => {
  const folder = temporaryFolder();
  it.each<[string, string, number, RegExp]>([
    ['is too short', 'short\n', 0o600, /no token/],
    ['is empty', '', 0o600, /no token/],
    ['has spaces', 'a token with spaces in it\n', 0o600, /no token/],
    ['can be read by everybody', TOKEN, 0o604, /chmod 600/],
  ])('is refused when it %s', async (_, text, mode, message) => {
    const refused = await serviceHere({ token_file: tokenFile(folder, text, mode) }).catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ code: 'bad-token-file', message: expect.stringMatching(message) });
  });

  it('is refused when it is not there', async () => {
    const refused = await serviceHere({ token_file: join(folder, 'none') }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'bad-token-file' });
  });
});

describe('with a token', () => {
  let url: string;
  let ask: Ask;
  let withToken: Ask;
  beforeAll(async () => {
    const root = temporaryFolder();
    const folder = await seedJob(root, JOB, 'done');
    writeFileSync(join(folder, 'notes.txt'), 'some words');
    ({ url, ask } = await serviceHere({ token_file: tokenFile(root), limits: { wrong_tokens: 1000 } }, root));
    withToken = asking(url, TOKEN);
  });

  const closed = [
    '/v1/jobs',
    `/v1/jobs/${JOB}`,
    `/v1/jobs/${JOB}/events`,
    `/v1/jobs/${JOB}/log`,
    `/v1/jobs/${JOB}/artifacts`,
    `/v1/jobs/${JOB}/artifacts/notes.txt`,
    `/v1/jobs/${JOB}/report`,
    '/metrics',
  ];

  it.each(closed)('%s needs it', async (path) => {
    for (const authorization of [
      '',
      'Bearer',
      'Bearer wrong-token-of-some-length',
      `Basic ${TOKEN}`,
      TOKEN,
      `Bearer ${TOKEN}x`,
    ]) {
      const refused = await ask('GET', path, undefined, authorization === '' ? {} : { authorization });
      expect(refused.status).toBe(401);
      expect(refused.body.error.code).toBe('no-token');
      expect(refused.headers.get('www-authenticate')).toMatch(/^Bearer/);
    }
    const { status } = await withToken('GET', path);
    expect(status).toBe(path.endsWith('report') ? 404 : 200);
  });

  it.each(['/health/live', '/health/ready', '/openapi.json'])('%s does not', async (path) => {
    expect((await ask('GET', path)).status).toBe(200);
  });

  it('has no stream without a body', async () => {
    expect((await withToken('HEAD', `/v1/jobs/${JOB}/events`)).status).toBe(404);
    expect(
      (await withToken('HEAD', `/v1/jobs/${JOB}/artifacts/notes.txt`)).headers.get('content-length'),
    ).toBe('10');
  });

  it('does not take one from the query', async () => {
    expect((await ask('GET', `/v1/jobs?token=${TOKEN}`)).status).toBe(401);
  });

  it('gives tickets for the files of one job alone', async () => {
    const { body } = await withToken('POST', `/v1/jobs/${JOB}/tickets`, { path: 'notes.txt' });
    expect(body.url).toMatch(new RegExp(`^/v1/jobs/${JOB}/artifacts/notes.txt\\?ticket=`));
    const opened = await ask('GET', body.url);
    expect(opened.body).toBe('some words');
    expect(opened.headers.get('content-security-policy')).toMatch(/^sandbox allow-scripts/);
    const ticket = new URL(body.url, url).search;
    for (const path of ['/v1/jobs', `/v1/jobs/${JOB}`, `/v1/jobs/${JOB}/log`, '/metrics'])
      expect((await ask('GET', `${path}${ticket}`)).status).not.toBe(200);
    expect((await ask('GET', `/v1/jobs/20260101t000000-0002/artifacts/notes.txt${ticket}`)).status).toBe(401);
    expect((await ask('POST', `/v1/jobs/${JOB}/tickets${ticket}`, {})).status).toBe(401);
    expect((await withToken('POST', `/v1/jobs/${JOB}/tickets`)).body.url).toMatch(/\/report\?ticket=/);
    expect((await withToken('POST', `/v1/jobs/${JOB}/tickets`, { path: '../x' })).status).toBe(404);
  });
});

describe('a page of another site', () => {
  it('has no picture of anything here, and may link to it', async () => {
    const { url } = await serviceHere({}, temporaryFolder());
    // Not by fetch, which says for itself what it is.
    const status = (path: string, headers: Record<string, string>) =>
      new Promise<number>((resolve) =>
        get(`${url}${path}`, { headers }, (answer) => resolve(answer.resume().statusCode ?? 0)),
      );
    const picture = { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' };
    for (const site of ['cross-site', 'same-site'])
      expect(await status('/v1/jobs', { ...picture, 'sec-fetch-site': site })).toBe(403);
    expect(await status('/v1/jobs', { ...picture, 'sec-fetch-site': 'same-origin' })).toBe(200);
    const link = {
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      'sec-fetch-site': 'cross-site',
    };
    expect(await status('/', link)).toBe(200);
  });
});

describe('wrong tokens', () => {
  it('are few in a minute', async () => {
    const root = temporaryFolder();
    const { url, ask } = await serviceHere(
      { token_file: tokenFile(root), limits: { wrong_tokens: 3 } },
      root,
    );
    const wrong = asking(url, 'a-wrong-token-of-mine');
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await wrong('GET', '/v1/jobs')).status);
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    expect(Number((await wrong('GET', '/v1/jobs')).headers.get('retry-after'))).toBeGreaterThan(0);
    // They lock out nobody else of that address: who has the token, or who sends none and guesses nothing.
    expect((await asking(url, TOKEN)('GET', '/v1/jobs')).status).toBe(200);
    for (let i = 0; i < 5; i++) expect((await ask('GET', '/v1/jobs')).status).toBe(401);
    expect((await ask('GET', '/health/live')).status).toBe(200);
  });

  it('and right ones are in no log', async () => {
    const root = temporaryFolder();
    const folder = await seedJob(root, JOB, 'done');
    writeFileSync(join(folder, 'notes.txt'), 'some words');
    const service = await startService(root, '--token-file', tokenFile(root));
    const right = asking(service.url, TOKEN);
    await asking(service.url, 'a-wrong-token-of-mine')('GET', '/v1/jobs');
    const { body } = await right('POST', `/v1/jobs/${JOB}/tickets`, { path: 'notes.txt' });
    expect((await asking(service.url)('GET', body.url)).status).toBe(200);
    await right('GET', '/v1/jobs', undefined, { cookie: 'secret=cookie-secret' });
    await right('POST', '/v1/jobs', 'not json');
    expect(await service.stop()).toBe(0);
    const log = service.output();
    expect(log).toContain('"url":"/v1/jobs"');
    for (const secret of [TOKEN, 'a-wrong-token-of-mine', 'cookie-secret', body.url.split('=').at(-1)])
      expect(log).not.toContain(secret);
  });
});

describe('where a request comes from', () => {
  let url: string;
  let port: string;
  beforeAll(async () => {
    ({ url } = await serviceHere({ hosts: ['Tokens.example'] }));
    port = new URL(url).port;
  });

  it.each<[string, number]>([
    ['localhost', 200],
    ['127.0.0.1', 200],
    ['[::1]', 200],
    ['LOCALHOST', 200],
    ['tokens.example', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['localhost.evil.example', 403],
    ['', 403],
    ['localhost@evil.example', 403],
  ])('a service on loopback answers to the name %s with %i', async (name, status) => {
    expect(await raw(url, '/v1/jobs', { host: name === '' ? '' : `${name}:${port}` })).toBe(status);
    expect(await raw(url, '/health/live', { host: name })).toBe(status);
  });

  it('a page of another site changes nothing', async () => {
    const host = `localhost:${port}`;
    const post = (headers: Record<string, string>) =>
      raw(url, `/v1/jobs/${JOB}/cancel`, { host, ...headers }, 'POST');
    expect(await post({ origin: 'http://evil.example' })).toBe(403);
    expect(await post({ origin: 'null' })).toBe(403);
    expect(await post({ 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await post({ 'sec-fetch-site': 'same-site' })).toBe(403);
    expect(await post({ origin: `http://${host}`, 'sec-fetch-site': 'same-origin' })).toBe(404);
    expect(await post({})).toBe(404);
  });

  it('nobody is told that another site may read', async () => {
    const { headers } = await asking(url)('GET', '/v1/jobs', undefined, { origin: 'http://evil.example' });
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
  });
});

describe('limits', () => {
  it('a body is at most 1 MiB, and JSON', async () => {
    const { ask } = await serviceHere();
    const long = { pipeline: 'x'.repeat(1 << 20) };
    expect((await ask('POST', '/v1/jobs', long)).body.error.code).toBe('too-large');
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'text/yaml',
      'multipart/form-data',
    ]) {
      const refused = await ask('POST', '/v1/jobs', '{"pipeline":"a"}', { 'content-type': type });
      expect(refused.status).toBe(415);
      expect(refused.body.error.code).toBe('not-json');
    }
    for (const body of [
      '',
      '{',
      '[]',
      'null',
      '{"__proto__":{"pipeline":"x"}}',
      '{"pipeline":1}',
      '{"pipeline":"a","settings":{}}',
    ]) {
      const refused = await ask('POST', '/v1/jobs', body);
      expect([refused.status, Object.keys(refused.body)], body).toEqual([400, ['error']]);
    }
  });

  it('submissions are counted, with Retry-After', async () => {
    const { ask } = await serviceHere({ limits: { submissions: 2 } });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await ask('POST', '/v1/jobs', { pipeline: '{}' })).status);
    expect(statuses).toEqual([400, 400, 429]);
    const refused = await ask('POST', '/v1/jobs', { pipeline: '{}' });
    expect(refused.body.error.code).toBe('too-many-requests');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('what is no HTTP gets an answer and is cut off', async () => {
    const { url } = await serviceHere();
    const said = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write('hello\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text));
      socket.on('error', () => undefined);
    });
    expect(said).toMatch(/^HTTP\/1\.1 400 .*"code":"bad-request"/s);
  });
});
