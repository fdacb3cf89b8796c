import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { expandShards } from '#tokensieve/corpus/expand.js';
import { hfStorage } from '#tokensieve/storage/hf.js';
import { PATIENCE } from '#tokensieve/storage/patience.js';
import { fileServer } from '../support/file-server.js';

const bytes = Uint8Array.from({ length: 3000 }, (_, i) => i % 251);
const COMMITS = ['1', '2'].map((digit) => digit.repeat(40));
const hasty = { ...PATIENCE, firstWaitMs: 5, longestWaitMs: 20, tries: 2 };

/** A server that answers as the Hub does: revisions, pages of a tree, resolve URLs that lead to another host. */
describe('data sets of a Hub', async () => {
  const hub = await fileServer();
  const cdn = await fileServer();
  let main = COMMITS[0];
  let signature = 'first';
  const before = { ...process.env };
  Object.assign(process.env, { HF_ENDPOINT: hub.url, HF_TOKEN: 'hf_secret_token' });
  afterAll(() => {
    process.env = before;
  });
  cdn.files.set('/blob', bytes);
  cdn.fault = ({ url = '' }) => (url.endsWith(signature) ? undefined : { kind: 'status', status: 403 });
  hub.handle = ({ url = '', headers, method }, response) => {
    if (headers.authorization !== 'Bearer hf_secret_token') {
      response.writeHead(401).end();
      return true;
    }
    const json = (value: unknown, more = {}): true => {
      response.writeHead(200, { 'Content-Type': 'application/json', ...more }).end(JSON.stringify(value));
      return true;
    };
    if (url === '/api/datasets/me/math/revision/main') return json({ sha: main });
    const tree = `/api/datasets/me/math/tree/${COMMITS[0]}/data?recursive=`;
    if (url.startsWith(tree) && !url.includes('cursor')) {
      const entries = [
        { type: 'directory', path: 'data/more' },
        { type: 'file', path: 'data/b.parquet', size: 3000 },
      ];
      return json(entries, { Link: `<${hub.url}${tree}true&cursor=2>; rel="next"` });
    }
    if (url.startsWith(tree)) return json([{ type: 'file', path: 'data/more/a.parquet', size: 3000 }]);
    if (method === 'HEAD' && url === `/datasets/me/math/resolve/${COMMITS[0]}/data/b.parquet`) {
      const target = `${cdn.url}/blob?Signature=${signature}`;
      response.writeHead(302, { Location: target, 'X-Linked-Size': 3000, 'X-Linked-Etag': '"abc"' }).end();
      return true;
    }
    return false;
  };
  beforeEach(() => {
    main = COMMITS[0];
    signature = 'first';
    hub.served.length = 0;
    cdn.served.length = 0;
  });
  const path = 'hf://datasets/me/math/data/b.parquet';

  it('are read at the commit that the branch was first, the token told to the Hub alone', async () => {
    const storage = hfStorage(hasty);
    const found = await storage.stat(path);
    expect(found).toEqual({ size: 3000, etag: '"abc"' });
    main = COMMITS[1];
    expect(await storage.readRange(path, 10, 20, found)).toEqual(bytes.slice(10, 20));
    expect(await storage.readRange(path, 2999, 3000, found)).toEqual(bytes.slice(2999));
    expect(hub.served.filter(({ url }) => url.includes('/revision/'))).toHaveLength(1);
    expect(hub.served).toHaveLength(2);
    expect(cdn.served.map(({ bytes }) => bytes)).toEqual([10, 1]);
    expect(cdn.served.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('are found again when a signed URL has expired', async () => {
    const storage = hfStorage(hasty);
    await storage.stat(path);
    signature = 'second';
    expect(await storage.readRange(path, 0, 5)).toEqual(bytes.slice(0, 5));
  });

  it('are listed page by page, for globs and folders', async () => {
    const shards = await expandShards(hfStorage(hasty), ['hf://datasets/me/math/data/**/*.parquet']);
    expect(shards.map(({ name, path }) => [name, path])).toEqual([
      ['b.parquet', path],
      ['more/a.parquet', 'hf://datasets/me/math/data/more/a.parquet'],
    ]);
  });

  it('are named in errors, the token and signatures are not', async () => {
    const storage = hfStorage(hasty);
    await expect(storage.stat(`${path}.gz`)).rejects.toMatchObject({ code: 'not-found', reach: 'input' });
    await expect(storage.stat('hf://datasets/math')).rejects.toMatchObject({
      code: 'bad-url',
      reach: 'usage',
    });
    await expect(storage.stat('hf://datasets/me/math/../x')).rejects.toMatchObject({ code: 'bad-url' });
    await expect(storage.stage(path)).rejects.toMatchObject({ code: 'read-only' });
    process.env['HF_TOKEN'] = 'hf_other_token';
    const error = await hfStorage(hasty)
      .stat(path)
      .catch((error: Error) => error);
    process.env['HF_TOKEN'] = 'hf_secret_token';
    expect(error).toMatchObject({ code: 'not-readable', message: expect.stringContaining('Set HF_TOKEN') });
    expect(String(error)).not.toContain('hf_other_token');
  });
});
