import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { TokensieveError } from '#tokensieve/errors.js';
import { describeModel } from '#tokensieve/model/prepare.js';
import { type RandomCheckpoint, safetensorsBytes, writeRandomCheckpoint } from '../support/checkpoints.js';

const scratch = mkdtempSync(join(tmpdir(), 'checkpoint-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let count = 0;
function checkpoint(options: Partial<RandomCheckpoint> = {}): string {
  const folder = join(scratch, `${count++}`);
  writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 1, ...options });
  return folder;
}

async function refusal(folder: string): Promise<TokensieveError> {
  const error: unknown = await describeModel(folder).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TokensieveError);
  expect((error as TokensieveError).message).not.toContain('\n');
  return error as TokensieveError;
}

async function expectRefusal(folder: string, code: string, ...texts: readonly string[]): Promise<void> {
  const error = await refusal(folder);
  expect(error.code).toBe(code);
  for (const text of texts) expect(error.message).toContain(text);
}

const weights = 'model.safetensors';
const index = 'model.safetensors.index.json';

describe('describeModel', () => {
  it('says what a checkpoint is', async () => {
    const folder = checkpoint({ dtype: 'BF16' });
    // 131 rows of 42 twice; per layer q, o 42×48, k, v 42×16, three of 42×77, two norms; the last norm.
    const layer = 2 * 42 * 48 + 2 * 42 * 16 + 3 * 42 * 77;
    const parameters = 2 * 131 * 42 + 3 * (layer + 2 * 42) + 42;
    expect(await describeModel(folder)).toEqual({
      folder,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      architecture: 'LlamaForCausalLM',
      vocabularySize: 131,
      maxPositions: 256,
      longestRow: null,
      hiddenSize: 42,
      shape: {
        layers: 3,
        hiddenSize: 42,
        heads: 6,
        kvHeads: 2,
        headSize: 8,
        innerSize: 77,
        rope: 'theta 10000',
        tiedHead: false,
        slidingWindow: null,
      },
      ignoredFields: ['architectures'],
      // Residual, norm and branch; gate, up and their product are wider than queries, keys and values.
      activationWidth: 3 * 42 + 3 * 77,
      parameters,
      flopsPerToken: { matmul: 2 * (3 * layer + 131 * 42), attentionPerContextToken: 2 * 48 * 3 },
      weightType: 'BF16',
      weightBytes: 2 * parameters,
      tensors: { used: 3 * 9 + 3, unused: [], buffers: [], copies: [], unreadFiles: [] },
      warnings: [],
    });
  });

  it('gives one hash to equal files and others to any change', async () => {
    const hashes = await Promise.all(
      [
        checkpoint(),
        checkpoint(),
        checkpoint({ seed: 2 }),
        checkpoint({ overrides: { rope_theta: 10001 } }),
        checkpoint({ shards: 2 }),
      ].map(async (folder) => (await describeModel(folder)).hash),
    );
    expect(hashes[0]).toBe(hashes[1]);
    expect(new Set(hashes).size).toBe(4);
  });

  it('sees a change of the weights behind a remembered hash', async () => {
    const folder = checkpoint();
    const cache = join(scratch, 'cache');
    const before = await describeModel(folder, cache);
    expect((await describeModel(folder, cache)).hash).toBe(before.hash);
    writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 9 });
    const after = await describeModel(folder, cache);
    expect(after.hash).not.toBe(before.hash);
    expect(after.hash).toBe((await describeModel(folder)).hash);
  });

  it('counts tied embeddings once', async () => {
    const [tied, untied] = await Promise.all(
      [true, false].map((tie) => describeModel(checkpoint({ overrides: { tie_word_embeddings: tie } }))),
    );
    expect((untied?.parameters ?? 0) - (tied?.parameters ?? 0)).toBe(131 * 42);
    expect(untied?.flopsPerToken).toEqual(tied?.flopsPerToken);
  });

  it('refuses a folder without config.json', async () => {
    const folder = checkpoint();
    rmSync(join(folder, 'config.json'));
    await expectRefusal(folder, 'no-checkpoint', folder, 'has no config.json');
  });

  it('refuses a folder without weights', async () => {
    const folder = checkpoint();
    rmSync(join(folder, weights));
    await expectRefusal(folder, 'no-checkpoint', weights);
  });

  it('refuses weights in a pickle, unread', async () => {
    const folder = checkpoint();
    renameSync(join(folder, weights), join(folder, 'pytorch_model.bin'));
    await expectRefusal(folder, 'pickle-checkpoint', 'pytorch_model.bin', 'safe_serialization');
  });

  it.each(['bloom', 'constructor', '__proto__'])('refuses the model type %s', async (name) => {
    const folder = checkpoint({ overrides: { model_type: name } });
    await expectRefusal(folder, 'unknown-architecture', name, 'gpt2');
  });

  it('goes by architectures where there is no model type', async () => {
    const own = await describeModel(checkpoint({ overrides: { model_type: undefined } }));
    expect(own.architecture).toBe('LlamaForCausalLM');
    const folder = checkpoint({ overrides: { model_type: undefined, architectures: ['BertForMaskedLM'] } });
    await expectRefusal(folder, 'unknown-architecture', 'BertForMaskedLM', 'llama');
  });

  it('says that code beside a model of an unknown type is not run', async () => {
    const auto_map = { AutoModelForCausalLM: 'modeling_x.XForCausalLM' };
    const folder = checkpoint({ overrides: { model_type: 'x', auto_map } });
    await expectRefusal(folder, 'unknown-architecture', 'model_type x', 'auto_map', 'ONNX');
  });

  it.each([
    ['a model type that is a number', { model_type: 7 }],
    ['architectures that are a word', { architectures: 'LlamaForCausalLM' }],
    ['a width of zero', { hidden_size: 0 }],
    ['a width that is text', { hidden_size: '42' }],
    ['heads that do not divide', { num_key_value_heads: 4 }],
    ['an odd head', { head_dim: 7 }],
    ['an activation that nobody has', { hidden_act: 'step' }],
    ['a negative theta', { rope_theta: -1 }],
    ['a scaling without its factor', { rope_scaling: { rope_type: 'linear' } }],
  ])('refuses a configuration with %s', async (_name, overrides) => {
    // The tensors' shapes follow from the good configuration.
    const folder = checkpoint();
    const good = writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 1 });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...good, ...overrides }));
    await expectRefusal(folder, 'bad-config', join(folder, 'config.json'));
  });

  it('refuses a configuration that is not JSON', async () => {
    const folder = checkpoint();
    writeFileSync(join(folder, 'config.json'), '{"architectures": [');
    await expectRefusal(folder, 'bad-config', 'not JSON');
  });

  it('refuses a rope type it cannot compute', async () => {
    const folder = checkpoint({ overrides: { rope_scaling: { rope_type: 'mrope', factor: 4 } } });
    await expectRefusal(folder, 'unknown-rope-type', '"mrope"', 'llama3');
  });

  it('refuses a missing tensor by name', async () => {
    const folder = checkpoint({ overrides: { num_hidden_layers: 2 } });
    const config = writeRandomCheckpoint(folder, {
      architecture: 'LlamaForCausalLM',
      seed: 1,
      overrides: { num_hidden_layers: 2 },
    });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: 3 }));
    await expectRefusal(folder, 'missing-tensor', `${folder}: tensor model.layers.2.`);
  });

  it('refuses a wrong shape with what was found and what was expected', async () => {
    const folder = checkpoint();
    const config = writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 1 });
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, vocab_size: 130 }));
    await expectRefusal(folder, 'wrong-shape', 'model.embed_tokens.weight', '[131,42]', '[130,42]');
  });

  it('refuses weights of a type it does not compute with', async () => {
    const folder = checkpoint();
    const tensor = {
      name: 'model.embed_tokens.weight',
      dtype: 'I8',
      shape: [131, 42],
      bytes: Buffer.alloc(5502),
    };
    writeFileSync(join(folder, weights), safetensorsBytes([tensor]));
    await expectRefusal(folder, 'unknown-weight-type', 'I8', 'BF16');
  });

  describe('with an index', () => {
    const sharded = (): string => checkpoint({ shards: 3 });

    it.each(['../0/model.safetensors', '/etc/passwd', 'a/b.safetensors', 'a\\b', '..', '.', '', 'a\0b'])(
      'refuses the weight file %j outside of its folder',
      async (name) => {
        const folder = sharded();
        const map = { weight_map: { 'lm_head.weight': name } };
        writeFileSync(join(folder, index), JSON.stringify(map));
        await expectRefusal(folder, 'bad-weight-index', JSON.stringify(name));
      },
    );

    it('refuses a missing weight file by name', async () => {
      const folder = sharded();
      rmSync(join(folder, 'model-00002-of-00003.safetensors'));
      await expectRefusal(folder, 'missing-shard', 'model-00002-of-00003.safetensors');
    });

    it('refuses an index without a map', async () => {
      const folder = sharded();
      writeFileSync(join(folder, index), '{"weight_map": ["a"]}');
      await expectRefusal(folder, 'bad-weight-index', 'weight_map');
    });
  });

  it('reads a folder of links, as a download cache keeps them', async () => {
    const folder = checkpoint();
    const linked = join(scratch, 'linked');
    mkdirSync(linked);
    for (const name of ['config.json', weights]) symlinkSync(join(folder, name), join(linked, name));
    expect((await describeModel(linked)).hash).toBe((await describeModel(folder)).hash);
  });
});
