import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { pipelineFrom } from '#tokensieve/cli/pipeline-options.js';
import { flagsOf, settingsFromFlags } from '#tokensieve/config/flags.js';
import { mergeSettings, parseAssignment } from '#tokensieve/config/load.js';

/** Refusals of files and of --set (alias bombs, prototypes, size) are tested through the command: test/cli/usage. */

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-settings-'));
afterAll(() => rmSync(folder, { recursive: true }));

const schema = z.strictObject({
  shards: z.array(z.string()).meta({ flag: 'shards', description: 'Files' }),
  inner: z
    .strictObject({
      length: z.int().default(512).meta({ flag: 'length', description: 'Tokens' }),
      device: z.enum(['cpu', 'cuda']).optional().meta({ flag: 'device', description: 'Where' }),
      hidden: z.boolean().default(false),
    })
    .prefault({}),
});

describe('flags', () => {
  it('are the fields that declare one, with type, choices and default', () => {
    expect(flagsOf(schema)).toEqual([
      { name: 'shards', path: ['shards'], description: 'Files', type: 'array' },
      { name: 'length', path: ['inner', 'length'], description: 'Tokens', type: 'number', default: 512 },
      {
        name: 'device',
        path: ['inner', 'device'],
        description: 'Where',
        type: 'string',
        choices: ['cpu', 'cuda'],
      },
    ]);
  });

  it('that were not given leave the setting to what lies below', () => {
    expect(settingsFromFlags(flagsOf(schema), { length: 0, other: 1 })).toEqual({ inner: { length: 0 } });
    expect(settingsFromFlags(flagsOf(schema), {})).toEqual({});
  });
});

describe('settings laid over each other', () => {
  it('merge objects and replace everything else', () => {
    const base = { a: { x: 1, y: [1, 2] }, b: 1 };
    expect(mergeSettings(base, { a: { y: [3], z: null }, b: undefined })).toEqual({
      a: { x: 1, y: [3], z: null },
      b: 1,
    });
    expect(base).toEqual({ a: { x: 1, y: [1, 2] }, b: 1 });
  });

  it('never reach a prototype', () => {
    const patch = JSON.parse('{"__proto__": {"polluted": 1}, "a": {"__proto__": {"polluted": 1}}}');
    mergeSettings({ a: {} }, patch);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('an assignment reads its value as YAML', () => {
    expect(parseAssignment('a.b=[1, two]')).toEqual({ a: { b: [1, 'two'] } });
    expect(parseAssignment('a=x=y')).toEqual({ a: 'x=y' });
  });
});

describe('a pipeline', () => {
  it('is the file, flags over it, --set over both, the last one first', async () => {
    const path = join(folder, 'job.yaml');
    writeFileSync(
      path,
      'shards: [x.parquet]\nreference: r\nout: o\nsequence: {length: 16, packing: document}\nscore: {batch_tokens: 100}\n',
    );
    const args = {
      'sequence-length': 32,
      'batch-tokens': 200,
      set: ['sequence.length=64', 'sequence.length=128'],
    };
    const alone = await pipelineFrom({}, path);
    expect(alone.sequence).toMatchObject({ length: 16, packing: 'document' });
    const flagged = await pipelineFrom({ ...args, set: undefined }, path);
    expect(flagged.sequence).toMatchObject({ length: 32, packing: 'document' });
    const all = await pipelineFrom(args, path);
    expect(all.sequence).toMatchObject({ length: 128, packing: 'document' });
    expect(all.score).toMatchObject({ batch_tokens: 200, entropy: false });
  });
});
