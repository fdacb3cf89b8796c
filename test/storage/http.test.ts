import { beforeEach, describe, expect, it } from 'vitest';
import { httpStorage } from '#tokensieve/storage/http.js';
import { PATIENCE, type PatienceSettings } from '#tokensieve/storage/patience.js';
import { type FileServer, fileServer } from '../support/file-server.js';

const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
const hasty: PatienceSettings = { ...PATIENCE, firstWaitMs: 5, longestWaitMs: 20 };
const failing = (times: number) => (_: unknown, nth: number) => nth < times;

describe('files of a web server', async () => {
  const server: FileServer = await fileServer();
  server.files.set('/a.bin', bytes);
  server.files.set('/empty', new Uint8Array());
  const path = `${server.url}/a.bin`;
  beforeEach(() => {
    server.served.length = 0;
    server.fault = () => undefined;
    server.ranges = true;
  });

  it('are read by range, for one request each and no more bytes than asked for', async () => {
    const storage = httpStorage();
    const found = await storage.stat(path);
    expect(found).toMatchObject({ size: 5000, etag: expect.stringMatching(/^"/) });
    expect(await storage.readRange(path, 100, 300, found)).toEqual(bytes.slice(100, 300));
    expect(await storage.readRange(path, 4999, 5000, found)).toEqual(bytes.slice(4999));
    expect(await storage.readRange(path, 7, 7, found)).toHaveLength(0);
    expect(server.served.map(({ bytes }) => bytes)).toEqual([1, 200, 1]);
    expect(server.served[1]?.headers['if-match']).toBe(found.etag);
    expect(await storage.stat(`${server.url}/empty`)).toMatchObject({ size: 0 });
  });

  it('that change under way are an error that names the file', async () => {
    const storage = httpStorage(hasty);
    const found = await storage.stat(path);
    server.files.set(
      '/a.bin',
      Uint8Array.from(bytes, (byte) => byte ^ 1),
    );
    const changed = {
      code: 'object-changed',
      reach: 'fatal',
      message: expect.stringContaining('/a.bin: changed'),
    };
    await expect(storage.readRange(path, 0, 10, found)).rejects.toMatchObject(changed);
    // A server that knows no conditions, or has weak tags only.
    const weak = { ...found, etag: `W/${found.etag}` };
    await expect(storage.readRange(path, 0, 10, weak)).rejects.toMatchObject(changed);
    server.files.set('/a.bin', bytes);
    await expect(storage.readRange(path, 0, 10, { size: 4000 })).rejects.toMatchObject(changed);
  });

  it('are missing, cut short or forbidden in words', async () => {
    const storage = httpStorage(hasty);
    await expect(storage.stat(`${server.url}/none`)).rejects.toMatchObject({
      code: 'not-found',
      reach: 'input',
    });
    await expect(storage.readRange(path, 4990, 5010)).rejects.toMatchObject({ code: 'short-read' });
    await expect(storage.readRange(path, 6000, 6010)).rejects.toMatchObject({ code: 'short-read' });
    server.fault = () => ({ kind: 'status', status: 403 });
    await expect(storage.stat(path)).rejects.toMatchObject({ code: 'not-readable', reach: 'input' });
    await expect(storage.list(server.url)).rejects.toMatchObject({ code: 'not-listable', reach: 'usage' });
    await expect(storage.stage(path)).rejects.toMatchObject({ code: 'read-only', reach: 'usage' });
  });

  it.each([
    ['status 500', { kind: 'status', status: 500 }],
    ['truncated bodies', { kind: 'truncated' }],
    ['cut connections', { kind: 'reset' }],
    ['bodies that drip', { kind: 'slow' }],
  ] as const)('come through three answers of %s', async (_, fault) => {
    const storage = httpStorage(fault.kind === 'slow' ? { ...hasty, requestMs: 400 } : hasty);
    server.fault = (request, nth) => (failing(3)(request, nth) ? fault : undefined);
    expect(await storage.readRange(path, 0, 5000)).toEqual(bytes);
    expect(server.served.length).toBeGreaterThanOrEqual(4);
  });

  it('are given up after a few tries, with the last reason', async () => {
    const storage = httpStorage({ ...hasty, tries: 3, requestMs: 400 });
    server.fault = () => ({ kind: 'slow' });
    await expect(storage.readRange(path, 0, 5000)).rejects.toMatchObject({
      reach: 'retry',
      code: 'store-unavailable',
      message: expect.stringMatching(/\/a\.bin: no whole answer within 1 s, given up after 3 tries; /),
    });
    expect(server.served).toHaveLength(3);
  });

  it('are not asked for over and over once the whole server fails', async () => {
    const storage = httpStorage({ ...hasty, budget: 10 });
    server.fault = () => ({ kind: 'status', status: 500 });
    const reads = Array.from({ length: 20 }, (_, i) => storage.readRange(path, i, i + 1));
    const results = await Promise.allSettled(reads);
    expect(results.every(({ status }) => status === 'rejected')).toBe(true);
    // 20 first tries, and 10 repeats for all of them together.
    expect(server.served.length).toBeLessThanOrEqual(30);
  });

  it('are waited for as long as the server says when it throttles, however often', async () => {
    const storage = httpStorage({ ...hasty, tries: 2 });
    server.fault = (_, nth) => {
      if (nth === 0) return { kind: 'status', status: 429, headers: { 'Retry-After': '1' } };
      return nth < 6 ? { kind: 'status', status: 503 } : undefined;
    };
    expect(await storage.readRange(path, 0, 5000)).toEqual(bytes);
    expect(server.served.map(({ status }) => status)).toEqual([429, 503, 503, 503, 503, 503, 206]);
    const [first, second] = server.served;
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(950);
    // And not for ever.
    server.fault = () => ({ kind: 'status', status: 503 });
    await expect(httpStorage({ ...hasty, throttledMs: 100 }).stat(path)).rejects.toMatchObject({
      code: 'store-throttles',
      reach: 'retry',
    });
  });

  it('are read whole from servers without ranges, if they are small', async () => {
    const storage = httpStorage(hasty);
    server.ranges = false;
    const found = await storage.stat(path);
    expect(found.size).toBe(5000);
    expect(await storage.readRange(path, 100, 300, found)).toEqual(bytes.slice(100, 300));
    server.files.set('/big', new Uint8Array(17 * 2 ** 20));
    await expect(storage.readRange(`${server.url}/big`, 0, 10)).rejects.toMatchObject({ code: 'no-ranges' });
  });

  it('keep the secrets of their URLs to themselves', async () => {
    const storage = httpStorage({ ...hasty, tries: 1 });
    const signed = `${server.url.replace('//', '//user:geheim@')}/a.bin?X-Amz-Signature=abc123`;
    expect(await storage.readRange(signed, 0, 9)).toEqual(bytes.slice(0, 9));
    expect(server.served[0]?.headers.authorization).toBe(`Basic ${btoa('user:geheim')}`);
    for (const status of [404, 403, 500, 418]) {
      server.fault = () => ({ kind: 'status', status });
      const error = await storage.stat(signed).catch((error: Error) => error);
      expect(String(error)).toContain('/a.bin?…');
      expect(String(error)).not.toMatch(/geheim|abc123/);
    }
  });
});
