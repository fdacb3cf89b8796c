import { join } from 'node:path';
import { expect, it } from 'vitest';
import { engineCommand } from '#tokensieve/engine/command.js';
import { type EngineOptions, openEngine } from '#tokensieve/engine/open-engine.js';

const script = join(import.meta.dirname, 'hostile-engine.mjs');
const rows = { offsets: Int32Array.of(0, 3, 8), ids: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8) };
const optionsOf = (mode: string): EngineOptions => ({
  command: engineCommand(`exec:${process.execPath} ${script} ${mode}`),
  job: {
    models: [{ name: 'current', folder: '/models/none' }],
    device: 'auto',
    card: 0,
    precision: 'auto',
    threads: 1,
    longest_row: 8,
    attention: 'across',
    outputs: ['loss'],
    options: {},
  },
  limits: {
    open: mode === 'silent' || mode === 'flood' ? 2 : 60,
    batch: mode === 'hangs' ? 1 : 60,
    perToken: 0,
  },
});

async function failureOf(mode: string): Promise<{ readonly code: string; readonly message: string }> {
  try {
    const engine = await openEngine(optionsOf(mode));
    try {
      await engine.score(rows);
      await engine.score(rows);
    } finally {
      await engine.close();
    }
  } catch (error) {
    return error as { code: string; message: string };
  }
  return { code: 'none', message: '' };
}

it.concurrent.each([
  ['ends-at-once', 'engine-failed', /ended with code 7/],
  ['says-why', 'no-model', /the weights are of chocolate/],
  ['chatter', 'engine-garbage', /no Arrow stream: a message begins with "Loading /],
  ['silent', 'engine-hung', /said nothing for 2 s/],
  ['flood', 'engine-hung', /said nothing for 2 s/],
  ['other-protocol', 'engine-garbage', /protocol/],
  ['forgets-model', 'engine-garbage', /says nothing of model current/],
  ['no-metadata', 'engine-garbage', /no 'tokensieve'/],
  ['no-json', 'engine-garbage', /JSON/],
  ['other-columns', 'engine-garbage', /columns current\.losss; expected current\.loss/],
  ['dies', 'engine-failed', /SIGKILL/],
  ['hangs', 'engine-hung', /said nothing for 1 s/],
  ['ends-early', 'engine-garbage', /ended/],
  ['huge-claim', 'engine-garbage', /claims a header of 1073741824 bytes/],
  ['noise', 'engine-garbage', /no Arrow stream/],
  ['too-few-rows', 'engine-garbage', /answered 1 rows; expected 2/],
  ['whole-rows', 'engine-garbage', /row 0 of current\.loss has 3 values; expected 2/],
  ['honest', 'none', /^$/],
])('%s: %s', async (mode, code, words) => {
  const failure = await failureOf(mode);
  expect(failure.code).toBe(code);
  expect(failure.message).toMatch(words);
  expect(failure.message.split('\n')).toHaveLength(1);
  expect(failure.message.length).toBeLessThan(2500);
});

it('a program that is not there', async () => {
  const options = optionsOf('honest');
  const command = { ...engineCommand('torch', '/no/such/python') };
  await expect(openEngine({ ...options, command })).rejects.toMatchObject({
    code: 'no-engine',
    message: expect.stringContaining('/no/such/python cannot be started'),
  });
});

it('after its first failure an engine is asked nothing more', async () => {
  const engine = await openEngine(optionsOf('dies'));
  const first = await engine.score(rows).catch((error: unknown) => error);
  const second = await engine.score(rows).catch((error: unknown) => error);
  expect(second).toBe(first);
  await engine.close();
});

it('one that stays after its requests is ended', async () => {
  const engine = await openEngine(optionsOf('stays'));
  expect([...((await engine.score(rows)).get('current')?.loss ?? [])]).toEqual([1, 1, 1, 1, 1, 1]);
  await engine.close();
}, 60_000);
