import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import { describeModel, prepareModel } from '#tokensieve/model/prepare.js';
import { type RawTensor, safetensorsBytes, writeRandomCheckpoint } from '../support/checkpoints.js';
import { goldenWeight } from '../support/oracle/golden.js';
import { runPrepared } from '../support/oracle-run.js';

// Which tensor is which parameter, against what transformers makes of the same files (fixtures/models/tensor_cases.py), and
// what it cannot know: refusals where two loaders differ, files of another kind.
const scratch = mkdtempSync(join(tmpdir(), 'tensors-'));
afterAll(() => rmSync(scratch, { recursive: true }));

interface TensorCase {
  readonly family: string;
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  readonly same_as: Readonly<Record<string, string>>;
  readonly error?: string;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly tied: boolean;
  readonly losses: readonly number[] | null;
}

const cases = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/models/tensor_cases.json', import.meta.url)), 'utf8'),
) as {
  readonly ids: readonly number[];
  readonly families: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly cases: readonly TensorCase[];
};

const raw = (name: string, shape: readonly number[], from = name): RawTensor => ({
  name,
  dtype: 'F32',
  shape,
  bytes: Buffer.from(goldenWeight(from, shape, 'F32').buffer),
});

let count = 0;
function write(config: object, tensors: readonly RawTensor[]): string {
  const folder = join(scratch, `${count++}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(tensors));
  return folder;
}

const writeCase = ({ family, config, tensors, same_as: sameAs }: TensorCase): string =>
  write(
    { ...cases.families[family], ...config },
    Object.entries(tensors).map(([name, shape]) => raw(name, shape, sameAs[name])),
  );

/** Buffers that transformers reports and whose bytes nothing reads. */
const buffer = /attn\.masked_bias$/;
/** Where transformers takes both matrices and others one: nobody can tell which is meant. */
const contradicts = ({ name, family, config }: TensorCase): boolean =>
  name === 'tied-both-differ' ||
  (name === 'default-own-head' && family === 'gpt2' && !('tie_word_embeddings' in config));

describe('tensors of a checkpoint', () => {
  it.each(cases.cases.map((one) => [`${one.family} ${one.name}`, one] as const))('%s', async (_, one) => {
    const folder = writeCase(one);
    const opened = prepareModel(folder, {
      device: 'cpu',
      attention: 'across',
      entropy: false,
      cacheFolder: join(scratch, 'cache'),
    });
    if (one.error !== undefined) {
      const tied = 'tied-head-differs';
      expect(['wrong-shape', tied]).toContain(await codeOf(opened));
      return;
    }
    if (one.missing.length > 0) {
      // transformers draws these at random. What it renames is told by the name that files have.
      const [name = ''] = one.missing;
      const told = one.family === 'gpt_neox' ? name.replace('lm_head', 'embed_out') : name;
      await expect(opened).rejects.toMatchObject({
        code: 'missing-tensor',
        message: expect.stringContaining(told) as string,
      });
      return;
    }
    if (contradicts(one)) {
      expect(one.tied).toBe(false);
      await expect(opened).rejects.toMatchObject({
        code: 'tied-head-differs',
        message: expect.stringMatching(
          /lm_head\.weight.*(embed_tokens|embed_in|wte)\.weight.*"tie_word_embeddings": false/,
        ) as string,
      });
      return;
    }
    const prepared = await opened;
    const { loss } = await runPrepared(prepared, [{ ids: cases.ids }]);
    const losses = one.losses ?? [];
    expect(losses).toHaveLength(cases.ids.length - 1);
    for (const [t, want] of losses.entries())
      expect(Math.abs((loss[0]?.[t] ?? Number.NaN) - want)).toBeLessThan(2e-5);
    const { tensors, warnings = [] } = prepared.info;
    expect(tensors?.unused.toSorted()).toEqual(one.unexpected.filter((name) => !buffer.test(name)));
    const { used = 0, unused = [], buffers = [], copies = [] } = tensors ?? {};
    expect(used + unused.length + buffers.length + copies.length).toBe(Object.keys(one.tensors).length);
    expect(warnings).toHaveLength(unused.length === 0 ? 0 : 1);
    for (const name of unused.slice(0, 3)) expect(warnings[0]).toContain(name);
  });

  it('covers every family with every outcome', () => {
    for (const family of Object.keys(cases.families)) {
      const own = cases.cases.filter((one) => one.family === family);
      expect(own.length).toBeGreaterThan(9);
      expect(own.some((one) => one.missing.length > 0)).toBe(true);
      expect(own.some((one) => one.tied && one.losses !== null)).toBe(true);
    }
  });
});

const codeOf = (opening: Promise<unknown>): Promise<string> =>
  opening.then(
    () => 'opened',
    (error: { readonly code?: string }) => error.code ?? 'unknown',
  );

/** A whole tied Llama, as tensors to be added to or taken from. */
const plain = cases.cases.find((one) => one.family === 'llama' && one.name === 'tied');
const tensorsOf = (): RawTensor[] =>
  Object.entries(plain?.tensors ?? {}).map(([name, shape]) => raw(name, shape));
const config = { ...cases.families['llama'], tie_word_embeddings: true };
const refusal = async (folder: string): Promise<{ code: string; message: string }> => {
  const error: unknown = await describeModel(folder).catch((thrown: unknown) => thrown);
  const { code, message } = error as { code: string; message: string };
  expect(message.split('\n')).toHaveLength(1);
  return { code, message };
};

describe('names that nobody gives a plain model', () => {
  const attention = 'model.layers.0.self_attn.q_proj';
  it.each([
    ['GPTQ', `${attention}.g_idx`, /GPTQ/],
    ['GPTQ or AWQ', `${attention}.qweight`, /GPTQ or AWQ/],
    ['bitsandbytes, 4 bit', `${attention}.weight.absmax`, /bitsandbytes/],
    ['bitsandbytes, 8 bit', `${attention}.SCB`, /bitsandbytes/],
    ['FP8 by blocks', `${attention}.weight_scale_inv`, /FP8/],
    ['compressed-tensors', `${attention}.weight_packed`, /compressed-tensors/],
    ['a scale beside bf16', `${attention}.weight_scale`, /weight_scale/],
    ['scales of activations', `${attention}.input_scale`, /input_scale/],
    ['HQQ', `${attention}.W_q`, /HQQ/],
    ['AQLM', `${attention}.codebooks`, /AQLM/],
    ['Quanto', `${attention}.weight._data`, /Quanto/],
    ['MXFP4', 'model.layers.0.mlp.experts.gate_up_proj_blocks', /MXFP4/],
    ['MLX', `${attention}.biases`, /MLX/],
    ['EXL2', `${attention}.q_invperm`, /EXL2/],
    ['EXL3', `${attention}.trellis`, /EXL3/],
  ])('refuses %s by its tensors, without a word in config.json', async (_, name, says) => {
    // Beside the weight that it belongs to: nothing is missing, and the scales would be passed over.
    const { code, message } = await refusal(write(config, [...tensorsOf(), raw(name, [2])]));
    expect(code).toBe('quantised-checkpoint');
    expect(message).toContain(name);
    expect(message).toMatch(says);
    expect(message).toMatch(/full-precision|dequanti/i);
  });

  it.each(['F8_E4M3', 'F8_E5M2', 'F8_E8M0', 'F4'])('refuses weights of %s', async (dtype) => {
    const bytes = dtype === 'F4' ? 12 * 31 * 0.5 : 12 * 31;
    const [first, ...rest] = tensorsOf().filter(({ name }) => name !== 'model.embed_tokens.weight');
    expect(first).toBeDefined();
    const embedding = {
      name: 'model.embed_tokens.weight',
      dtype,
      shape: [31, 12],
      bytes: Buffer.alloc(bytes),
    };
    const { code, message } = await refusal(write(config, [embedding, ...(first ? [first] : []), ...rest]));
    expect(code).toBe('quantised-checkpoint');
    expect(message).toContain(dtype);
  });

  it.each([
    `base_model.model.model.layers.0.self_attn.q_proj.weight`,
    `${attention}.lora_A.default.weight`,
    `${attention}.base_layer.weight`,
  ])('refuses %s of an adapter that is not merged', async (name) => {
    const { code, message } = await refusal(write(config, [...tensorsOf(), raw(name, [2, 2])]));
    expect(code).toBe('unmerged-adapter');
    expect(message).toContain('merge_and_unload');
  });

  it.each(['_orig_mod.', 'module.'])('says what stands before every name: %s', async (prefix) => {
    const wrapped = tensorsOf().map((tensor) => ({ ...tensor, name: prefix + tensor.name }));
    const { code, message } = await refusal(write(config, wrapped));
    expect(code).toBe('missing-tensor');
    expect(message).toContain(`take "${prefix}" away`);
  });
});

it('a classifier or a reward model without a head is told to be one', async () => {
  const untied = { ...config, tie_word_embeddings: false };
  const { code, message } = await refusal(write(untied, [...tensorsOf(), raw('score.weight', [2, 8])]));
  expect(code).toBe('missing-tensor');
  expect(message).toMatch(/lm_head\.weight.*score\.weight is there, the head of a classifier/);
  expect(message).not.toContain('"tie_word_embeddings": true');
});

describe('quantization_config', () => {
  it.each([
    [{ quant_method: 'gptq', bits: 4 }, /GPTQ, 4 bit/],
    [{ quant_method: 'awq', bits: 4 }, /AWQ/],
    [{ quant_method: 'fp8', weight_block_size: [128, 128] }, /FP8/],
    [{ quant_method: 'bitsandbytes', load_in_4bit: true }, /bitsandbytes, 4 bit/],
    [{ load_in_8bit: true }, /bitsandbytes, 8 bit/],
    [
      { quant_method: 'compressed-tensors', format: 'float-quantized' },
      /compressed-tensors, float-quantized/,
    ],
    [{ quant_method: 'bitnet', quantization_mode: 'online' }, /BitNet, online/],
    [{ quant_method: 'bitnet', quantization_mode: 'offline' }, /BitNet, with packed/],
    [{ quant_method: 'hqq' }, /HQQ/],
    [{ quant_method: 'mxfp4' }, /MXFP4/],
    [{ quant_method: 'torchao' }, /torchao/],
    [{ quant_method: 'modelopt', quant_algo: 'NVFP4' }, /ModelOpt, NVFP4/],
    [{ group_size: 64, bits: 4 }, /MLX, 4 bit/],
    [{ quant_method: 'next-year' }, /"next-year"/],
    [{}, /does not name/],
  ])('%j is refused by its kind, however plain the tensors are', async (settings, says) => {
    const { code, message } = await refusal(write({ ...config, quantization_config: settings }, tensorsOf()));
    expect(code).toBe('quantised-checkpoint');
    expect(message).toContain('quantization_config');
    expect(message).toMatch(says);
  });

  it("is told by MLX's and compressed-tensors' older fields too", async () => {
    const mlx = { ...config, quantization: { group_size: 64, bits: 4 } };
    expect((await refusal(write(mlx, tensorsOf()))).message).toMatch(/quantization says.*MLX/);
    const older = { ...config, compression_config: { format: 'pack-quantized' } };
    expect((await refusal(write(older, tensorsOf()))).message).toMatch(/compressed-tensors, pack-quantized/);
  });

  it('null is none', async () => {
    const folder = write({ ...config, quantization_config: null }, tensorsOf());
    expect((await describeModel(folder)).warnings).toEqual([]);
  });
});

describe('several weight files', () => {
  const index = 'model.safetensors.index.json';
  /** Two shards and an index, each changed as a case wants it. */
  function sharded(
    change: (shards: [RawTensor[], RawTensor[]], map: Record<string, string>) => void,
  ): string {
    const folder = write(config, tensorsOf());
    rmSync(join(folder, 'model.safetensors'));
    const all = tensorsOf();
    const shards: [RawTensor[], RawTensor[]] = [all.slice(0, 4), all.slice(4)];
    const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
    const map: Record<string, string> = {};
    shards.forEach((tensors, s) => {
      for (const { name } of tensors) map[name] = names[s === 0 ? 0 : 1];
    });
    change(shards, map);
    shards.forEach((tensors, s) => {
      writeFileSync(join(folder, names[s === 0 ? 0 : 1]), safetensorsBytes(tensors));
    });
    writeFileSync(join(folder, index), JSON.stringify({ metadata: {}, weight_map: map }));
    return folder;
  }

  it('reads a tensor where it lies, whatever the index says, and says so', async () => {
    const plainInfo = await describeModel(write(config, tensorsOf()));
    const moved = await describeModel(
      sharded(([first, second], map) => {
        const tensor = first.pop();
        if (tensor !== undefined) second.push(tensor);
        map['nowhere.weight'] = 'model-00001-of-00002.safetensors';
        delete map[second[0]?.name ?? ''];
      }),
    );
    expect(moved.parameters).toBe(plainInfo.parameters);
    expect(moved.warnings?.map((line) => line.replace(/^.*?index\.json: /, ''))).toEqual([
      expect.stringMatching(/^tensor nowhere\.weight no file holds/),
      expect.stringMatching(/lies in another file/),
      expect.stringMatching(/is in the files and not in it/),
    ]);
  });

  it('takes a tensor that two files hold alike', async () => {
    const info = await describeModel(sharded(([first, second]) => second.push(...first.slice(0, 1))));
    expect(info.tensors?.unused).toEqual([]);
  });

  it('refuses one that two files hold with different numbers', async () => {
    const { code, message } = await refusal(
      sharded(([first, second]) => {
        const [tensor] = first;
        if (tensor !== undefined) second.push(raw(tensor.name, tensor.shape, 'another'));
      }),
    );
    expect(code).toBe('duplicate-tensor');
    expect(message).toMatch(
      /model-00001-of-00002\.safetensors and model-00002-of-00002\.safetensors both hold/,
    );
  });

  it('refuses two names of one parameter with different numbers', async () => {
    const tensors = [...tensorsOf(), raw('norm.weight', [12])];
    const { code, message } = await refusal(write(config, tensors));
    expect(code).toBe('duplicate-tensor');
    expect(message).toMatch(/model\.norm\.weight and norm\.weight/);
  });

  it('reads model.safetensors and not the shards beside it, and says so', async () => {
    const folder = sharded(() => undefined);
    writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(tensorsOf()));
    const { files } = await openCheckpoint(folder);
    expect(files.map(({ name }) => name)).toEqual(['config.json', 'model.safetensors']);
    const { warnings = [], tensors } = await describeModel(folder);
    expect(warnings[0]).toMatch(
      /model-00001-of-00002\.safetensors and 1 more beside model\.safetensors is not read/,
    );
    expect(tensors?.unreadFiles).toHaveLength(2);
  });

  it("reads what config.json's transformers_weights names", async () => {
    const folder = write({ ...config, transformers_weights: 'mine.safetensors' }, [
      raw('model.norm.weight', [12]),
    ]);
    writeFileSync(join(folder, 'mine.safetensors'), safetensorsBytes(tensorsOf()));
    expect((await describeModel(folder)).tensors).toMatchObject({
      used: tensorsOf().length,
      unreadFiles: ['model.safetensors'],
    });
  });
});

it.each(['absent.safetensors', '../0/model.safetensors', 'config.json', 7])(
  'refuses transformers_weights %j, though model.safetensors is there',
  async (named) => {
    const { code, message } = await refusal(write({ ...config, transformers_weights: named }, tensorsOf()));
    expect(code).toBe('bad-config');
    expect(message).toContain(`transformers_weights names ${JSON.stringify(named)}`);
  },
);

describe('a head that was saved though it is tied', () => {
  const embedding = 'model.embed_tokens.weight';
  const head = (dtype: string, bytes: Buffer): RawTensor => ({
    name: 'lm_head.weight',
    dtype,
    shape: [31, 12],
    bytes,
  });

  it('is compared by value, not by bytes', async () => {
    const numbers = Float32Array.from({ length: 31 * 12 }, (_, i) => (i % 7) - 3);
    const halves = Uint16Array.from(new Uint32Array(numbers.buffer), (bits) => bits >>> 16);
    const rest = tensorsOf().filter(({ name }) => name !== embedding);
    const input = { name: embedding, dtype: 'F32', shape: [31, 12], bytes: Buffer.from(numbers.buffer) };
    const same = write(config, [...rest, input, head('BF16', Buffer.from(halves.buffer))]);
    expect((await describeModel(same)).tensors?.copies).toEqual(['lm_head.weight']);
    halves[371] = (halves[371] ?? 0) ^ 1;
    const other = write(config, [...rest, input, head('BF16', Buffer.from(halves.buffer))]);
    expect((await refusal(other)).code).toBe('tied-head-differs');
  });

  it('is found to differ in its last piece', async () => {
    const wide = { ...config, vocab_size: 100_003 };
    const rest = tensorsOf().filter(({ name }) => name !== embedding);
    const numbers = goldenWeight(embedding, [100_003, 12], 'F32');
    const input = { name: embedding, dtype: 'F32', shape: [100_003, 12], bytes: Buffer.from(numbers.buffer) };
    const changed = Buffer.from(input.bytes);
    changed.writeFloatLE(7, changed.length - 4);
    const folder = write(wide, [...rest, input, { ...input, name: 'lm_head.weight', bytes: changed }]);
    expect((await refusal(folder)).code).toBe('tied-head-differs');
  });
});

it('tells a configuration of a million layers from the first that is not there', async () => {
  const folder = write({ ...config, num_hidden_layers: 2 ** 20 }, tensorsOf());
  expect((await refusal(folder)).message).toContain('model.layers.1.input_layernorm.weight');
});

it('gives a bare GPT-2 the losses of a whole one', async () => {
  const settings = {
    device: 'cpu',
    attention: 'across',
    entropy: false,
    cacheFolder: join(scratch, 'cache'),
  } as const;
  const losses: Float32Array[] = [];
  for (const transformerPrefix of [true, false]) {
    const folder = join(scratch, `${count++}`);
    writeRandomCheckpoint(folder, { architecture: 'GPT2LMHeadModel', seed: 3, transformerPrefix });
    losses.push(...(await runPrepared(await prepareModel(folder, settings), [{ ids: cases.ids }])).loss);
  }
  expect(losses[0]).toEqual(losses[1]);
});
