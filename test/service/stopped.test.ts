/** What strangers send to stop the service: it answers meanwhile, and what it holds for them is bounded. */
import { connect, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { createParser } from '#tokensieve/service/pipeline/parser.js';
import { resolvePipeline } from '#tokensieve/service/pipeline/resolve.js';
import { temporaryFolder } from '../support/quickstart.js';
import { serviceHere } from './in-process.js';

const keys = (n: number): string => Array.from({ length: n }, (_, i) => `k${i}: 1\n`).join('');

describe('pipelines as text', () => {
  const parser = createParser();
  afterAll(() => parser.close());

  it('of tens of thousands of keys are refused before they are parsed', async () => {
    await expect(parser.parse(keys(40_000))).rejects.toMatchObject({
      code: 'pipeline-unreadable',
      message: expect.stringContaining('more than 10000 names'),
    });
  });

  it('are read while the loop goes on', async () => {
    let turns = 0;
    const turning = setInterval(() => turns++, 1);
    const list = `x: [${Array.from({ length: 30_000 }, (_, i) => `s${i}`).join(', ')}]`;
    expect(Object.keys(await parser.parse(list))).toEqual(['x']);
    clearInterval(turning);
    // Parsed on the loop there would have been none.
    expect(turns).toBeGreaterThan(5);
  });

  it('that take too long are ended with their thread, and the next is read', async () => {
    const hasty = createParser(1);
    await expect(hasty.parse(keys(9_000))).rejects.toMatchObject({ code: 'pipeline-unreadable' });
    await hasty.close();
    expect(await parser.parse('a: [1, 2]')).toEqual({ a: [1, 2] });
  });

  it('keep their errors', async () => {
    await expect(parser.parse('a: 1\na: 2')).rejects.toMatchObject({
      code: 'pipeline-unreadable',
      message: 'pipeline: not YAML: Map keys must be unique: a is there twice',
    });
  });

  it('of many stages are refused before anything is looked at', async () => {
    const stages = Array.from({ length: 900 }, (_, i) => ({
      name: `s${i}`,
      audit: { run: 'r', out: `o${i}` },
    }));
    const places = { roots: [temporaryFolder()], jobs: '/nowhere/jobs', job: '/nowhere/jobs/one' };
    await expect(resolvePipeline({ stages }, places)).rejects.toMatchObject({ code: 'too-many-stages' });
  });
});

describe('bodies under way', () => {
  const sockets: Socket[] = [];
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
  });

  /** Says how long its body is, and sends none of it; resolves to what is answered, if anything. */
  const begin = (url: string, length: number | null) =>
    new Promise<Socket>((resolve, reject) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => {
        const size = length === null ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
        socket.write(
          `POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${size}\r\n\r\n`,
          () => resolve(socket),
        );
      });
      socket.on('error', reject);
      sockets.push(socket);
    });
  const answered = (socket: Socket): Promise<string> =>
    new Promise((resolve) => socket.once('data', (data) => resolve(data.toString('utf8'))));

  it('take room by what they say, large and small ones apart, and give it back', async () => {
    const { url, ask } = await serviceHere({ memory: 16 }, temporaryFolder());
    const status = async (body: string) => (await ask('POST', '/v1/jobs', body)).status;
    // 14 MiB for large ones: one of 8 MiB fits, and one that tells no length may be as long.
    const first = await begin(url, 8 << 20);
    const second = await begin(url, 8 << 20);
    expect(await answered(second)).toMatch(/^HTTP\/1\.1 429 .*too-much-under-way/s);
    expect(await answered(await begin(url, null))).toMatch(/^HTTP\/1\.1 429 /);
    // A small one has room all the same; there is no such pipeline.
    expect(await status('{"pipeline":"x: 1"}')).toBe(400);
    first.destroy();
    for (;;) {
      const again = await begin(url, 8 << 20);
      const refused = await Promise.race([
        answered(again),
        new Promise((resolve) => setTimeout(resolve, 200, null)),
      ]);
      again.destroy();
      if (refused === null) break;
    }
  });

  it('of brackets are counted, not parsed', async () => {
    const { ask } = await serviceHere({}, temporaryFolder());
    const { status } = await ask('POST', '/v1/jobs', `{"settings":{"x":[${'[],'.repeat(200_000)}[]]}}`);
    expect(status).toBe(400);
  });
});

describe('a proxy that is trusted', () => {
  const ip = async (trusted: string[]): Promise<number[]> => {
    const limits = { submissions: 1 };
    const { url } = await serviceHere({ trust_proxy: trusted, limits }, temporaryFolder());
    const submit = async (from: string) =>
      (
        await fetch(`${url}/v1/jobs`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-forwarded-for': from },
          body: '{"pipeline":"x: 1"}',
        })
      ).status;
    return [await submit('10.0.0.1'), await submit('10.0.0.2'), await submit('10.0.0.1')];
  };

  it('tells who asks', async () => {
    expect(await ip(['127.0.0.0/8'])).toEqual([400, 400, 429]);
  });

  it('and nobody else does', async () => {
    expect(await ip([])).toEqual([400, 429, 429]);
    expect(await ip(['10.0.0.0/8'])).toEqual([400, 429, 429]);
  });

  it.each(['nonsense', '10.0.0.0/33', '1.2.3.4/5/6', '::1/129'])('is an address, not %s', async (trusted) => {
    await expect(serviceHere({ trust_proxy: [trusted] }, temporaryFolder())).rejects.toThrow(
      'expected an address',
    );
  });
});
