import { cpSync, renameSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { METHODS } from '#tokensieve/select/methods.js';
import type { App } from '#tokensieve/service/http/app.js';
import { openScoring, type Scoring } from '#tokensieve/service/scoring/open.js';
import type { ScoredText } from '#tokensieve/service/scoring/schemas.js';
import { temporaryFolder } from '../support/quickstart.js';
import { type Answer, listen, poison, post, texts, writePairs } from './scoring-support.js';

const folder = temporaryFolder();
const pairs = writePairs(join(folder, 'models'));
const cache = join(folder, 'cache');

/** Runs with a service of its own. */
async function serving<T>(
  settings: Parameters<typeof openScoring>[0],
  use: (url: string, scoring: Scoring) => Promise<T>,
): Promise<T> {
  const scoring = await openScoring({ device: 'cpu', cache, ...settings });
  const { app, url } = await listen(scoring);
  try {
    return await use(url, scoring);
  } finally {
    await app.close();
    await scoring.close();
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const excessOf = ({ tokens }: ScoredText): number[] => tokens.excess.map((value) => value ?? Number.NaN);
const worst = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, value, i) => (Number.isNaN(value) ? most : Math.max(most, Math.abs(value - b[i]!))), 0);

describe('POST /v1/score', () => {
  let scoring: Scoring;
  let app: App;
  let url: string;

  beforeAll(async () => {
    scoring = await openScoring({
      models: [
        { ...pairs.fallback, max_tokens: 128, entropy: true },
        { ...pairs.bytes, max_tokens: 128 },
        { name: 'twice', reference: pairs.bytes.current, current: pairs.bytes.current },
        { name: 'half', reference: pairs.bytes.reference },
      ],
      request_tokens: 20_000,
      device: 'cpu',
      cache,
    });
    ({ app, url } = await listen(scoring));
  });
  afterAll(async () => {
    await app.close();
    await scoring.close();
  });

  it('names the pairs, and loads them when they are asked', async () => {
    const { models } = (await (await fetch(`${url}/v1/models`)).json()) as { models: unknown[] };
    expect(models).toMatchObject([
      {
        name: 'fallback',
        max_tokens: 128,
        reference: { name: 'fallback-reference', architecture: 'LlamaForCausalLM' },
      },
      { name: 'bytes' },
      { name: 'twice', max_tokens: 256 },
      { name: 'half', current: null },
    ]);
    expect(scoring.stats().models.map(({ loaded }) => loaded)).toEqual([false, false, false, false]);
    expect((await post(url, { texts: ['first'] })).body.model).toBe('fallback');
    expect(scoring.stats().models.map(({ loaded }) => loaded)).toEqual([true, false, false, false]);
  });

  it('gives 50 requests at once what each gets alone', async () => {
    const bodies = Array.from({ length: 50 }, (_, i) => ({
      model: i % 3 === 0 ? 'bytes' : 'fallback',
      texts: [texts[i % texts.length]!, [...texts[(i * 5) % texts.length]!].slice(0, 10 * i + 1).join('')],
      select: { keep: 0.5 },
    }));
    const first = scoring.stats();
    const single: Answer[] = [];
    for (const body of bodies) single.push(await post(url, body));
    const before = scoring.stats();
    const together = await Promise.all(bodies.map((body) => post(url, body)));
    const after = scoring.stats();
    together.forEach(({ status, body }, i) => {
      expect(status).toBe(200);
      expect(body.model).toBe(bodies[i]!.model);
      body.results.forEach((result, t) => {
        const alone = single[i]!.body.results[t]!;
        expect(result.tokens.id).toEqual(alone.tokens.id);
        expect(result.tokens.start).toEqual(alone.tokens.start);
        expect(worst(excessOf(result), excessOf(alone))).toBeLessThan(1e-4);
        expect(result.eligible).toBe(alone.eligible);
        const kept = result.tokens.weight!.filter((weight) => weight > 0).length;
        expect(kept).toBe(Math.max(1, Math.floor(result.eligible / 2)));
      });
    });
    // They shared batches.
    expect(after.batches - before.batches).toBeLessThan(0.8 * (before.batches - first.batches));
    expect(after.queued_tokens).toBe(0);
    expect(after.running_tokens).toBe(0);
  });

  it('weighs by every method that comes with the package, keeping what it says', async () => {
    for (const { name } of METHODS) {
      if (name === 'domain-weights') continue;
      const select = {
        method: name,
        ...(name === 'threshold' && { threshold: 0 }),
        ...(name === 'band' && { band: [0.1, 0.5] }),
      };
      const { status, body } = await post(url, { texts: [texts[2], texts[8]], select });
      expect(status, `${name}: ${body.error?.message}`).toBe(200);
      for (const { tokens } of body.results) {
        expect(tokens.weight).toHaveLength(tokens.id.length);
        tokens.weight!.forEach((weight, i) => {
          if (tokens.excess[i] === null) expect(weight).toBe(0);
          else if (name === 'threshold') expect(weight).toBe(tokens.excess[i]! >= 0 ? 1 : 0);
          else if (name === 'clm') expect(weight).toBe(1);
          else expect(weight).toBeGreaterThanOrEqual(0);
        });
      }
    }
  });

  it('ranks a text by itself, the request as one, or each row', async () => {
    const two = [texts[8]!, texts[9]!];
    const weigh = async (scope: string, list = two) =>
      (await post(url, { texts: list, select: { keep: 0.3, scope } })).body.results;
    const [byText, byRequest, byRow] = [await weigh('text'), await weigh('request'), await weigh('sequence')];
    const kept = (results: readonly ScoredText[]) =>
      results.map(({ tokens }) => tokens.weight!.filter(Boolean).length);
    expect(kept(byText)).toEqual(byText.map(({ eligible }) => Math.floor(0.3 * eligible)));
    expect(kept(byText)).toEqual([
      ...kept(await weigh('text', [two[0]!])),
      ...kept(await weigh('text', [two[1]!])),
    ]);
    const all = byRequest.reduce((sum, { eligible }) => sum + eligible, 0);
    expect(kept(byRequest).reduce((a, b) => a + b)).toBe(Math.floor(0.3 * all));
    // The cut of the whole request: nothing dropped has a higher excess than what was kept.
    const scores = byRequest.flatMap(({ tokens }) =>
      tokens.excess.map((excess, i) => ({ excess, weight: tokens.weight![i]! })),
    );
    const of = (weight: number) =>
      scores.filter((s) => s.excess !== null && s.weight === weight).map(({ excess }) => excess!);
    expect(Math.min(...of(1))).toBeGreaterThanOrEqual(Math.max(...of(0)));
    expect(kept(byRow)).not.toEqual(kept(byText));
  });

  it('one model alone gives its losses and no excess', async () => {
    const { body } = await post(url, {
      model: 'half',
      texts: [texts[1]],
      select: { method: 'reference-loss' },
    });
    const { tokens } = body.results[0]!;
    expect(tokens.reference_loss.slice(1).every((loss) => loss !== null)).toBe(true);
    expect(tokens.current_loss.every((loss) => loss === null)).toBe(true);
    expect(tokens.excess.every((excess) => excess === null)).toBe(true);
    expect(tokens.weight!.some((weight) => weight === 1)).toBe(true);
  });

  it.each<[string, unknown, number, string | undefined, RegExp]>([
    ['no texts', { texts: [] }, 400, undefined, /texts/],
    ['too many texts', { texts: new Array(65).fill('a') }, 400, undefined, /texts/],
    ['a text that is a number', { texts: [3] }, 400, undefined, /texts.0/],
    ['an unknown field', { texts: ['a'], module: 'x.js' }, 400, undefined, /module/],
    ['code for a method', { texts: ['a'], select: { method: './mine.js' } }, 400, undefined, /method/],
    ['a share above one', { texts: ['a'], select: { keep: 1.5 } }, 400, undefined, /keep/],
    ['no JSON', '{"texts":', 400, undefined, /./],
    ['half a surrogate pair', { texts: ['ok', 'a\ud83d'] }, 400, 'not-unicode', /text 1 .*surrogate/],
    [
      'an unknown model',
      { model: 'none', texts: ['a'] },
      404,
      'unknown-model',
      /expected one of fallback, bytes/,
    ],
    ['a text too long', { texts: ['b', 'é'.repeat(33_000)] }, 413, 'text-too-long', /text 1 has 66000 bytes/],
    ['too many tokens', { texts: new Array(9).fill('x y '.repeat(4000)) }, 413, 'too-many-tokens', /20000/],
    ['a body too large', { texts: ['a'.repeat(9 << 20)] }, 413, undefined, /./],
    [
      'entropies that the pair lacks',
      { model: 'bytes', texts: ['a b'], select: { method: 'reference-entropy' } },
      400,
      'missing-column',
      /reference entropy/,
    ],
    [
      'a current loss that the pair lacks',
      { model: 'half', texts: ['a b'], select: {} },
      400,
      'missing-column',
      /current loss/,
    ],
    [
      'two copies of one model',
      { model: 'twice', texts: ['a b c'], select: {} },
      422,
      'constant-scores',
      /text 0: all \d+ eligible tokens have the same score 0/,
    ],
  ])('refuses %s', async (_name, request, status, code, message) => {
    const found = await post(url, request);
    expect(found.status).toBe(status);
    if (code !== undefined) expect(found.body.error.code).toBe(code);
    expect(found.body.error.message).toMatch(message);
    expect(found.body.error.message).not.toContain('\n');
    expect(found.body.error.message).not.toContain(folder);
  });

  it('is as it was after all that', async () => {
    const { queued_tokens, running_tokens, open_requests, failed_batches } = scoring.stats();
    expect({ queued_tokens, running_tokens, open_requests, failed_batches }).toEqual({
      queued_tokens: 0,
      running_tokens: 0,
      open_requests: 0,
      failed_batches: 0,
    });
    expect((await post(url, { texts: ['last'] })).status).toBe(200);
  });
});

const long = 'word '.repeat(6000);

describe('a queue that is full', () => {
  it('refuses with 429 and Retry-After, and serves again when there is room', async () => {
    const settings = { models: [pairs.bytes], request_tokens: 3000, queue_tokens: 3000 };
    await serving(settings, async (url, scoring) => {
      await post(url, { texts: ['warm up'] });
      const answers = await Promise.all(
        Array.from({ length: 30 }, () => post(url, { texts: [long.slice(0, 1000)] })),
      );
      const refused = answers.filter(({ status }) => status === 429);
      expect(answers.filter(({ status }) => status === 200).length + refused.length).toBe(30);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.length).toBeLessThan(30);
      for (const { retryAfter, body } of refused) {
        expect(retryAfter).toMatch(/^[1-9]\d*$/);
        expect(body.error.code).toBe('queue-full');
        expect(body.error.message).toContain('at most 3000 may');
      }
      expect(scoring.stats().refused_requests).toEqual({ 'queue-full': refused.length });
      expect((await post(url, { texts: [long.slice(0, 1000)] })).status).toBe(200);
    });
  });
});

describe('a client that goes away', () => {
  it('frees its place at once, and the others are served', async () => {
    const settings = { models: [pairs.bytes], request_tokens: 1e6, queue_tokens: 1e6 };
    await serving(settings, async (url, scoring) => {
      await post(url, { texts: ['warm up'] });
      const gone = new AbortController();
      const abandoned = post(url, { texts: new Array(16).fill(long) }, gone.signal);
      const failed = expect(abandoned).rejects.toThrow();
      await until('the long request waits', () => scoring.stats().queued_tokens > 60_000);
      await until('it is at work', () => scoring.stats().running_tokens > 0);
      const other = post(url, { texts: [texts[8]] });
      const { scored_tokens } = scoring.stats();
      gone.abort();
      await failed;
      await until('its place is free', () => scoring.stats().queued_tokens < 1000);
      expect((await other).status).toBe(200);
      await until('nothing is open', () => scoring.stats().open_requests === 0);
      const stats = scoring.stats();
      expect(stats.aborted_requests).toBe(1);
      expect(stats.queued_tokens).toBe(0);
      // What it would have taken was not run.
      expect(stats.scored_tokens - scored_tokens).toBeLessThan(60_000);
    });
  });

  it('or that waits too long is told so, and frees its place', async () => {
    const sizes = { request_tokens: 4e5, queue_tokens: 4e5 };
    const scoring = await openScoring({ models: [pairs.bytes], ...sizes, device: 'cpu', cache });
    const { app, url } = await listen(scoring, { timeLimitMs: 300 });
    try {
      const { status, body, retryAfter } = await post(url, { texts: new Array(6).fill(long) });
      expect({ status, code: body.error.code, retryAfter }).toEqual({
        status: 503,
        code: 'too-slow',
        retryAfter: '5',
      });
      expect(scoring.stats().queued_tokens).toBe(0);
    } finally {
      await app.close();
      await scoring.close();
    }
  });

  it('in the middle of its body costs nothing', async () => {
    await serving({ models: [pairs.bytes] }, async (url, scoring) => {
      const { port } = new URL(url);
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(
        'POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"te',
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.destroy();
      expect((await post(url, { texts: ['still here'] })).status).toBe(200);
      expect(scoring.stats().open_requests).toBe(0);
    });
  });
});

describe('closing', () => {
  it('finishes what is at work and refuses what comes', async () => {
    const scoring = await openScoring({ models: [pairs.bytes], device: 'cpu', cache, preload: true });
    expect(scoring.stats().models[0]!.loaded).toBe(true);
    const signal = new AbortController().signal;
    const working = Array.from({ length: 12 }, () =>
      scoring.score({ texts: [long.slice(0, 3000)] }, new AbortController().signal),
    );
    const closed = scoring.close();
    await expect(scoring.score({ texts: ['late'] }, signal)).rejects.toMatchObject({
      status: 503,
      code: 'closing',
    });
    const answers = await Promise.all(working);
    expect(answers.every(({ results }) => results[0]!.eligible > 500)).toBe(true);
    await closed;
    expect(scoring.stats().models[0]!.loaded).toBe(false);
    await scoring.close();
  });
});

describe('models that fail', () => {
  it('on one text fail its request and no other, though they shared batches', async () => {
    const folderOfBad = join(folder, 'models/poisoned');
    cpSync(pairs.bytes.current, folderOfBad, { recursive: true });
    await serving({ models: [{ ...pairs.bytes, current: folderOfBad }] }, async (url) => {
      const marker = '\u0001';
      const [found] = (await post(url, { texts: [marker] })).body.results;
      expect(found!.tokens.id).toHaveLength(2);
      poison(folderOfBad, found!.tokens.id[0]!, 42);
    });
    await serving({ models: [{ ...pairs.bytes, current: folderOfBad }] }, async (url, scoring) => {
      const bodies = Array.from({ length: 24 }, (_, i) => ({
        texts: [`${'same length '.repeat(4)}${i % 6 === 5 ? '\u0001' : '.'} and on`],
      }));
      const answers = await Promise.all(bodies.map((body) => post(url, body)));
      answers.forEach(({ status, body }, i) => {
        expect(status, body.error?.message).toBe(i % 6 === 5 ? 500 : 200);
        if (status === 500) expect(body.error.code).toBe('loss-not-finite');
      });
      const stats = scoring.stats();
      expect(stats.failed_batches).toBeGreaterThan(0);
      expect(stats).toMatchObject({ queued_tokens: 0, running_tokens: 0, open_requests: 0 });
    });
  });

  it('to load answer 503, and are loaded when they can be', async () => {
    const moved = join(folder, 'models/moved');
    cpSync(pairs.bytes.current, moved, { recursive: true });
    await serving({ models: [{ ...pairs.bytes, current: moved }] }, async (url, scoring) => {
      const weights = join(moved, 'model.safetensors');
      renameSync(weights, `${weights}.away`);
      const answers = await Promise.all([1, 2, 3].map((n) => post(url, { texts: [`text ${n}`] })));
      for (const { status, body, retryAfter } of answers) {
        expect(status).toBe(503);
        expect(body.error.code).toBe('models-failed');
        expect(body.error.message).not.toContain(folder);
        expect(retryAfter).toBe('1');
      }
      renameSync(`${weights}.away`, weights);
      expect((await post(url, { texts: ['again'] })).status).toBe(200);
      expect(scoring.stats().queued_tokens).toBe(0);
    });
  });

  it('of two tokenizers are refused at start', async () => {
    const models = [{ name: 'mixed', reference: pairs.bytes.reference, current: pairs.fallback.current }];
    await expect(openScoring({ models, device: 'cpu', cache })).rejects.toMatchObject({
      code: 'tokenizers-differ',
    });
  });
});
