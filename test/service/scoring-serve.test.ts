import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/quickstart.js';
import { texts, writePairs } from './scoring-support.js';
import { asking, type RunningService, startService } from './server.js';

describe('tokensieve serve with models', () => {
  const folder = temporaryFolder();
  const pairs = writePairs(join(folder, 'models'));
  let service: RunningService;

  beforeAll(async () => {
    const config = join(folder, 'serve.json');
    const settings = {
      models: [
        { ...pairs.fallback, max_tokens: 128 },
        `bytes=${pairs.bytes.reference},${pairs.bytes.current}`,
      ],
      score: { device: 'cpu', cache: join(folder, 'cache'), request_tokens: 500, queue_tokens: 500 },
    };
    writeFileSync(config, JSON.stringify(settings));
    service = await startService(join(folder, 'root'), '--config', config);
  });
  afterAll(() => service.stop());

  it('scores texts, says which models it has, and counts', async () => {
    const ask = asking(service.url);
    const { body } = await ask('GET', '/v1/models');
    expect(body.models.map((pair: { name: string }) => pair.name)).toEqual(['fallback', 'bytes']);
    const scored = await ask('POST', '/v1/score', { model: 'bytes', texts: [texts[2]], select: {} });
    expect(scored.status).toBe(200);
    expect(scored.body.results[0].tokens.weight).toContain(1);
    const refused = await ask('POST', '/v1/score', { texts: [texts[12]] });
    expect({ status: refused.status, code: refused.body.error.code }).toEqual({
      status: 413,
      code: 'too-many-tokens',
    });
    expect((await ask('GET', '/metrics')).body).toMatch(/tokensieve_score\{figure="scored_requests"\} 1\n/);
  });

  it('refuses a body that is not UTF-8, whose letters would be others', async () => {
    const answer = await fetch(`${service.url}/v1/score`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from('{"texts":["caf\u00e9"]}', 'latin1'),
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('is not UTF-8 in line 1');
  });

  it('describes the routes in its OpenAPI document', async () => {
    const { body } = await asking(service.url)('GET', '/openapi.json');
    const { post } = body.paths['/v1/score'];
    expect(Object.keys(post.responses).map(Number)).toEqual(
      expect.arrayContaining([200, 400, 404, 413, 422, 429, 500, 503]),
    );
    expect(JSON.stringify(body.paths['/v1/score'])).not.toContain('"flag"');
    expect(body.paths['/v1/models'].get.responses['200']).toBeDefined();
  });

  it('stops with requests at work', async () => {
    const ask = asking(service.url);
    const answers = Promise.allSettled(
      Array.from({ length: 4 }, () => ask('POST', '/v1/score', { texts: [texts[8]!.slice(0, 300)] })),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    const code = service.stop();
    for (const answer of await answers) {
      // One that came too late found nobody.
      if (answer.status === 'fulfilled') expect([200, 429, 503]).toContain(answer.value.status);
    }
    expect(await code).toBe(0);
  });
});
