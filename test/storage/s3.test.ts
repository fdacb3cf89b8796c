import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { claimFolder } from '#tokensieve/storage/folder-claim.js';
import { PATIENCE } from '#tokensieve/storage/patience.js';
import { routedStorage } from '#tokensieve/storage/routed.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { faultProxy } from '../support/fault-proxy.js';
import { hasS3, type S3Server, SECRET_KEY, s3Server } from '../support/s3-server.js';

const MIB = 2 ** 20;

describe.skipIf(!hasS3)('an S3 store that enforces conditions', async () => {
  let server: S3Server;
  let storage: Storage;
  let root = '';
  beforeAll(async () => {
    server = await s3Server();
    Object.assign(process.env, server.env);
    storage = routedStorage({ patience: { ...PATIENCE, firstWaitMs: 10, longestWaitMs: 50 } });
    root = `s3://${server.bucket}`;
  });

  afterAll(() => server.stop());

  async function put(path: string, bytes: Uint8Array): Promise<void> {
    const file = await storage.stage(path);
    await file.write(bytes);
    await file.commit();
  }
  const read = async (path: string): Promise<Uint8Array> => {
    const version = await storage.stat(path);
    return storage.readRange(path, 0, version.size, version);
  };

  it('gives back what was written, small and in parts, by range and by listing', async () => {
    const small = randomBytes(1000);
    const large = randomBytes(20 * MIB + 17);
    await put(`${root}/one/a.bin`, small);
    const file = await storage.stage(`${root}/one/b/c.bin`);
    for (let at = 0; at < large.length; at += 3 * MIB) await file.write(large.subarray(at, at + 3 * MIB));
    await expect(storage.stat(`${root}/one/b/c.bin`)).rejects.toMatchObject({ code: 'not-found' });
    expect(await storage.list(`${root}/one`)).toEqual([`${root}/one/a.bin`]);
    await file.commit();
    expect(Buffer.compare(await read(`${root}/one/b/c.bin`), large)).toBe(0);
    expect(await storage.readRange(`${root}/one/b/c.bin`, 8 * MIB - 5, 8 * MIB + 5)).toEqual(
      new Uint8Array(large.subarray(8 * MIB - 5, 8 * MIB + 5)),
    );
    expect(await storage.list(`${root}/one`)).toEqual([`${root}/one/a.bin`, `${root}/one/b/c.bin`]);
    expect(await storage.list(`${root}/one`, { shallow: true })).toEqual([`${root}/one/a.bin`]);
    expect(await storage.list(`${root}/none`)).toEqual([]);
    await storage.remove(`${root}/one/a.bin`);
    await storage.remove(`${root}/one/a.bin`);
    expect(await storage.list(`${root}/one`)).toEqual([`${root}/one/b/c.bin`]);
    await put(`${root}/one/empty`, new Uint8Array());
    expect(await read(`${root}/one/empty`)).toHaveLength(0);
  });

  it.each([
    ['a put', 100],
    ['parts', 9 * MIB],
  ])('lets the later of two writers of %s go if the bytes are equal, and refuses others', async (_, size) => {
    const bytes = randomBytes(size);
    const path = `${root}/two/${size}`;
    const first = await storage.stage(path);
    const second = await storage.stage(path);
    const third = await storage.stage(path);
    const last = await storage.stage(path, { onConflict: 'replace' });
    for (const file of [first, second]) await file.write(bytes);
    for (const file of [third, last]) await file.write(Buffer.from(bytes).fill(7, 3, 5));
    await first.commit();
    await second.commit();
    await expect(third.commit()).rejects.toMatchObject({ code: 'written-meanwhile', reach: 'fatal' });
    expect(Buffer.compare(await read(path), bytes)).toBe(0);
    await last.commit();
    expect((await read(path))[3]).toBe(7);
    // What was there when the file was staged may be replaced.
    await put(path, bytes);
    expect(Buffer.compare(await read(path), bytes)).toBe(0);
  });

  it('has a file staged only once it knows what is there', async () => {
    const proxy = await faultProxy(server.endpoint);
    process.env['AWS_ENDPOINT_URL_S3'] = proxy.url;
    let answer = (): void => undefined;
    proxy.held = ({ method }) =>
      method === 'HEAD' ? new Promise<void>((resolve) => (answer = resolve)) : undefined;
    try {
      let staged = false;
      const staging = routedStorage().stage(`${root}/late`);
      void staging.then(() => (staged = true));
      await vi.waitFor(() => expect(answer.length).toBe(1), 20_000);
      await wait(50);
      // Another's commit in this time would be taken for what was to be replaced.
      expect(staged).toBe(false);
      answer();
      await (await staging).abort();
    } finally {
      process.env['AWS_ENDPOINT_URL_S3'] = server.endpoint;
    }
  });

  it('replaces what was there when staged, also where it is gone by then', async () => {
    const path = `${root}/three`;
    await put(path, randomBytes(10));
    const file = await storage.stage(path);
    await file.write(Buffer.from('new'));
    await storage.remove(path);
    await file.commit();
    expect(Buffer.from(await read(path)).toString()).toBe('new');
  });

  it('leaves no upload behind when a file is thrown away', async () => {
    const { ListMultipartUploadsCommand, S3Client } = await import('@aws-sdk/client-s3');
    const client = new S3Client({ forcePathStyle: true });
    const uploads = async () =>
      (await client.send(new ListMultipartUploadsCommand({ Bucket: server.bucket }))).Uploads?.length ?? 0;
    const file = await storage.stage(`${root}/four`);
    await file.write(randomBytes(9 * MIB));
    await file.write(randomBytes(8 * MIB));
    await vi.waitFor(async () => expect(await uploads()).toBe(1), 20_000);
    // One that may still be in work is not swept.
    expect(await storage.sweep?.(root)).toEqual([]);
    expect(await uploads()).toBe(1);
    await file.abort();
    expect(await uploads()).toBe(0);
    await expect(file.write(randomBytes(1))).rejects.toMatchObject({ code: 'staging-closed' });
    expect(await storage.list(`${root}/four`)).toEqual([]);
  });

  it('reads one version of an object to its end', async () => {
    const path = `${root}/five.parquet`;
    await put(path, Buffer.from('one version'));
    const version = await storage.stat(path);
    await put(path, Buffer.from('other bytes'));
    await expect(storage.readRange(path, 0, 3, version)).rejects.toMatchObject({
      code: 'object-changed',
      reach: 'fatal',
      message: expect.stringContaining(`${path}: changed`),
    });
  });

  it('says in one line what is missing, without the key', async () => {
    await expect(storage.stat('s3://no-such-bucket-here/a')).rejects.toMatchObject({ code: 'not-found' });
    await expect(storage.list('s3://no-such-bucket-here/a')).rejects.toMatchObject({ code: 'no-bucket' });
    await expect(storage.stat(`s3://${server.bucket}/a/../b`)).rejects.toMatchObject({ code: 'bad-url' });
    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
    try {
      const error = await routedStorage()
        .list(root)
        .catch((error: Error) => error);
      expect(error).toMatchObject({ code: 'not-signed-in', reach: 'fatal' });
      expect(String(error)).not.toMatch(/wrong|Signature=/);
    } finally {
      process.env['AWS_SECRET_ACCESS_KEY'] = SECRET_KEY;
    }
  });

  it('is written to by writers of one recipe; another is refused until they are done', async () => {
    const folder = `${root}/claimed`;
    const one = await claimFolder(folder, 'same', storage);
    const two = await claimFolder(folder, 'same', storage);
    await expect(claimFolder(folder, 'other', storage)).rejects.toMatchObject({
      code: 'folder-busy',
      reach: 'usage',
      message: expect.stringContaining(`process ${process.pid}`),
    });
    expect(await storage.list(`${folder}/.writers`)).toHaveLength(2);
    await one.release();
    await two.release();
    const three = await claimFolder(folder, 'other', storage);
    await three.release();
    expect(await storage.list(folder)).toEqual([]);
  });
});
