/** What an object store was told and does not do is an error, never another place or a wait. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { routedStorage } from '#tokensieve/storage/routed.js';

/** What a store says of its objects, by key: as S3 answers HEAD, of archives and of what was restored. */
const OBJECTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: {},
  instant: { 'x-amz-storage-class': 'GLACIER_IR' },
  away: { 'x-amz-storage-class': 'GLACIER' },
  deep: { 'x-amz-storage-class': 'DEEP_ARCHIVE', 'x-amz-restore': 'ongoing-request="true"' },
  tiered: { 'x-amz-storage-class': 'INTELLIGENT_TIERING', 'x-amz-archive-status': 'ARCHIVE_ACCESS' },
  restored: {
    'x-amz-storage-class': 'GLACIER',
    'x-amz-restore': 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"',
  },
};
let server: Server;
let asked = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    asked++;
    const [, key = ''] = /^\/bucket\/([^?]*)/.exec(request.url ?? '') ?? [];
    const found = OBJECTS[key];
    if (request.method === 'GET') {
      response.writeHead(403, { 'content-type': 'application/xml' });
      response.end('<Error><Code>InvalidObjectState</Code><Message>archived</Message></Error>');
    } else response.writeHead(found === undefined ? 404 : 200, { 'content-length': '3', ...found }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  vi.stubEnv('AWS_ENDPOINT_URL_S3', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  vi.stubEnv('AWS_REGION', 'us-east-1');
});
afterAll(() => {
  vi.unstubAllEnvs();
  server.close();
});

it.each(['away', 'deep', 'tiered'])(
  'an archived object (%s) is named before a byte of it is asked for',
  async (key) => {
    await expect(routedStorage().stat(`s3://bucket/${key}`)).rejects.toMatchObject({
      reach: 'input',
      code: 'archived',
      message: expect.stringMatching(/is archived \((GLACIER|DEEP_ARCHIVE|ARCHIVE_ACCESS)\).*Restore it/),
    });
  },
);

it.each(['plain', 'instant', 'restored'])('one that can be read (%s) is looked at', async (key) => {
  expect(await routedStorage().stat(`s3://bucket/${key}`)).toMatchObject({ size: 3 });
});

it('one that is archived after it was looked at is named as such, not as a missing right', async () => {
  await expect(routedStorage().readRange('s3://bucket/plain', 0, 3)).rejects.toMatchObject({
    code: 'archived',
  });
});

it.each(['out?storageClass=GLACIER', 'out?region=eu-west-1/scored', 'out&acl=private'])(
  'options behind a key (%s) are no part of an output',
  async (key) => {
    const before = asked;
    await expect(routedStorage().stage(`s3://bucket/${key}`)).rejects.toMatchObject({
      reach: 'usage',
      code: 'bad-url',
      message: expect.stringContaining('takes no options'),
    });
    expect(asked).toBe(before);
  },
);

it('a region that is none is an error, and not us-east-1', async () => {
  vi.stubEnv('AWS_REGION', 'eu west 1/');
  const before = asked;
  await expect(routedStorage().stat('s3://bucket/plain')).rejects.toMatchObject({
    reach: 'usage',
    code: 'bad-region',
    message: expect.stringContaining('AWS_REGION'),
  });
  expect(asked).toBe(before);
  vi.stubEnv('AWS_REGION', 'us-east-1');
});
