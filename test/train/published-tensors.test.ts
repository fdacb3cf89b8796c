import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '#tokensieve/config/parse-settings.js';
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { trainSchema } from '#tokensieve/train/settings.js';
import { trainRun } from '#tokensieve/train/train-run.js';
import {
  type RandomCheckpoint,
  safetensorsBytes,
  type TestArchitecture,
  writeRandomCheckpoint,
} from '../support/checkpoints.js';
import { cliHere } from '../support/cli-here.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../support/quickstart.js';
import { readTensors } from '../support/tensors.js';

// `train` publishes what it trained: every tensor of the start, the head where it is a matrix of its own, under the names that
// transformers saves, with a configuration that says the same.
const scratch = temporaryFolder();
let tokenizer = '';
let shards = '';

beforeAll(async () => {
  const inputs = await quickstartInputs(join(scratch, 'inputs'));
  tokenizer = join(inputs.reference, 'tokenizer.json');
  shards = await manySmallParts(join(scratch, 'corpus'));
}, 120_000);

/** By the model's own tokenizer: the class that config.json names may make another of the same tokenizer.json. */
async function packedFor(folder: string): Promise<string> {
  const out = `${folder}-packed`;
  const args = ['--shards', shards, '--tokenizer', folder, '--sequence-length', '32', '--log', 'none'];
  expect((await cliHere(['pack', ...args, '--out', out])).code).toBe(3);
  return join(out, 'packed');
}

let count = 0;
function start(checkpoint: Omit<RandomCheckpoint, 'seed'>): string {
  const folder = join(scratch, `start-${count++}`);
  const { overrides } = checkpoint;
  writeRandomCheckpoint(folder, { ...checkpoint, seed: 5, overrides: { vocab_size: 512, ...overrides } });
  copyFileSync(tokenizer, join(folder, 'tokenizer.json'));
  return folder;
}

async function trained(folder: string): Promise<string> {
  const settings = parseSettings(
    trainSchema,
    {
      out: join(scratch, `out-${count++}`),
      model: { start: folder },
      data: { sources: [await packedFor(folder)] },
      batch: { rows: 2, steps: 1 },
      optimizer: { learning_rate: 1e-2 },
      run: { device: 'cpu' },
    },
    'test',
  );
  const { signal } = new AbortController();
  return (await trainRun(settings, { storage: localStorage(), sink: () => undefined, signal })).model;
}

const weights = 'model.safetensors';
const namesIn = async (folder: string): Promise<string[]> =>
  (await readSafetensorsHeader(join(folder, weights))).map(({ name }) => name).sort();
const tieOf = (folder: string): unknown =>
  (JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>)[
    'tie_word_embeddings'
  ];

const families: readonly TestArchitecture[] = [
  'LlamaForCausalLM',
  'MistralForCausalLM',
  'Qwen2ForCausalLM',
  'Qwen3ForCausalLM',
  'GPTNeoXForCausalLM',
];

describe.each([true, false])('a published model, tied %s', (tied) => {
  it.each(families)(
    'of %s has the tensors and the flag of its start',
    async (architecture) => {
      const from = start({ architecture, overrides: { tie_word_embeddings: tied } });
      const model = await trained(from);
      expect(await namesIn(model)).toEqual(await namesIn(from));
      expect(tieOf(model)).toBe(tied);
      const { decoder, others } = await openCheckpoint(model);
      expect(decoder.tied).toBe(tied);
      expect(others).toEqual({ unused: [], buffers: [], copies: [] });
    },
    60_000,
  );
});

describe('a GPT-2', () => {
  /** With a head of its own, which the helper's GPT-2 has not. */
  const untied = (): string => {
    const folder = start({ architecture: 'GPT2LMHeadModel', overrides: { tie_word_embeddings: false } });
    const path = join(folder, weights);
    const head = Float32Array.from({ length: 512 * 40 }, (_, i) => Math.sin(i) / 10);
    const whole = readFileSync(path);
    const length = Number(whole.readBigUInt64LE(0));
    const header = JSON.parse(whole.toString('utf8', 8, 8 + length)) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: [number, number] }
    >;
    const tensors = Object.entries(header).flatMap(([name, { dtype, shape, data_offsets: place }]) =>
      name === '__metadata__'
        ? []
        : [{ name, dtype, shape, bytes: whole.subarray(8 + length + place[0], 8 + length + place[1]) }],
    );
    const own = { name: 'lm_head.weight', dtype: 'F32', shape: [512, 40], bytes: Buffer.from(head.buffer) };
    writeFileSync(path, safetensorsBytes([...tensors, own]));
    return folder;
  };

  it('with a head of its own is trained with it and published with it', async () => {
    const from = untied();
    const model = await trained(from);
    expect(await namesIn(model)).toEqual(await namesIn(from));
    expect(tieOf(model)).toBe(false);
    const changed = await Promise.all([from, model].map((folder) => readTensors(join(folder, weights))));
    for (const name of ['lm_head.weight', 'transformer.wte.weight']) {
      const [before, after] = changed.map((tensors) => tensors.get(name));
      expect(before?.length).toBe(512 * 40);
      expect(after).not.toEqual(before);
      // One step of AdamW at 1e-2 moves no weight by much more.
      expect(after?.every((value, i) => Math.abs(value - (before?.[i] ?? 9)) < 0.03)).toBe(true);
    }
  }, 60_000);

  it('published by an earlier version, without the head that its configuration speaks of, is refused by name', async () => {
    const folder = start({ architecture: 'GPT2LMHeadModel', overrides: { tie_word_embeddings: false } });
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: 'missing-tensor',
      message: expect.stringMatching(/lm_head\.weight is missing.*"tie_word_embeddings": true/) as string,
    });
  });

  it('of bare names is published under those of the whole model', async () => {
    const model = await trained(start({ architecture: 'GPT2LMHeadModel', transformerPrefix: false }));
    const whole = start({ architecture: 'GPT2LMHeadModel' });
    expect(await namesIn(model)).toEqual(await namesIn(whole));
    rmSync(whole, { recursive: true });
  }, 60_000);
});
