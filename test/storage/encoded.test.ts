import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { planShards } from '#tokensieve/pack/work.js';
import { routedStorage } from '#tokensieve/storage/routed.js';

it('a file that a server sends encoded is set aside when it is planned, and the others go on', async () => {
  const body = Buffer.from('{"text":"a"}\n');
  const server = createServer((request, response) => {
    const encoding = new URL(request.url ?? '', 'http://x').pathname.split('.')[0]?.slice(1) ?? '';
    response.writeHead(206, {
      ...(encoding !== 'plain' && { 'Content-Encoding': encoding }),
      'Content-Range': `bytes 0-0/${body.length}`,
      'Content-Length': '1',
    });
    response.end(body.subarray(0, 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const shards = ['gzip', 'x-gzip', 'plain', 'aws-chunked'].map((name) => ({
      path: `${at}/${name}.jsonl`,
      name,
      format: 'jsonl' as const,
    }));
    const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 1024, partBytes: 1024 };
    const { plans, broken } = await planShards(routedStorage(), shards, options, undefined, () => {});
    expect(plans.map(({ shard }) => shard.name)).toEqual(['plain', 'aws-chunked']);
    expect(broken.map(({ shard }) => shard)).toEqual(['gzip', 'x-gzip']);
    expect(broken[0]?.detail).toContain('sends the file encoded (gzip)');
  } finally {
    server.close();
  }
});
