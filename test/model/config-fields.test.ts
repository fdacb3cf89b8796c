import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { TokensieveError } from '#tokensieve/errors.js';
import { families } from '#tokensieve/model/architectures/index.js';
import { inertFields, refusedFields } from '#tokensieve/model/config-fields.js';
import { type Configuration, readConfiguration } from '#tokensieve/model/configuration.js';

const scratch = mkdtempSync(join(tmpdir(), 'config-fields-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function read(config: Readonly<Record<string, unknown>>): Promise<Configuration> {
  const path = join(scratch, 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return readConfiguration(path);
}

async function refusal(config: Readonly<Record<string, unknown>>): Promise<string> {
  const error: unknown = await read(config).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TokensieveError);
  return (error as TokensieveError).message;
}

describe('config.json with a model_type and nothing else', () => {
  // transformers 5.24: str(LlamaConfig()) and so on, and models/*/configuration_*.py for what files leave out.
  it.each([
    [
      'llama',
      { layers: 32, hiddenSize: 4096, heads: 32, kvHeads: 32, headSize: 128, innerSize: 11_008 },
      2048,
      null,
      32_000,
    ],
    [
      'mistral',
      { layers: 32, hiddenSize: 4096, heads: 32, kvHeads: 8, headSize: 128, innerSize: 14_336 },
      131_072,
      4096,
      32_000,
    ],
    [
      'qwen2',
      { layers: 32, hiddenSize: 4096, heads: 32, kvHeads: 32, headSize: 128, innerSize: 22_016 },
      32_768,
      null,
      151_936,
    ],
    [
      'qwen3',
      { layers: 32, hiddenSize: 4096, heads: 32, kvHeads: 32, headSize: 128, innerSize: 22_016 },
      32_768,
      null,
      151_936,
    ],
    [
      'gpt_neox',
      { layers: 44, hiddenSize: 6144, heads: 64, kvHeads: 64, headSize: 96, innerSize: 24_576 },
      2048,
      null,
      50_432,
    ],
    [
      'gpt2',
      { layers: 12, hiddenSize: 768, heads: 12, kvHeads: 12, headSize: 64, innerSize: 3072 },
      1024,
      null,
      50_257,
    ],
  ] as const)('is the default %s of transformers', async (type, shape, positions, window, vocabulary) => {
    const { decoder, architecture } = await read({ model_type: type });
    expect(architecture).toBe(families[type]!.className);
    expect(decoder.shape).toMatchObject({ ...shape, slidingWindow: window, tiedHead: type === 'gpt2' });
    expect(families[type]!.tiedByDefault).toBe(type === 'gpt2');
    expect([decoder.maxPositions, decoder.vocabularySize]).toEqual([positions, vocabulary]);
  });
});

describe('configurations as people have them', () => {
  const llama2 = {
    _name_or_path: 'meta-llama/Llama-2-7b-hf',
    architectures: ['LlamaForCausalLM'],
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_act: 'silu',
    hidden_size: 4096,
    initializer_range: 0.02,
    intermediate_size: 11008,
    max_position_embeddings: 4096,
    model_type: 'llama',
    num_attention_heads: 32,
    num_hidden_layers: 32,
    num_key_value_heads: 32,
    pretraining_tp: 1,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    tie_word_embeddings: false,
    torch_dtype: 'float16',
    transformers_version: '4.31.0.dev0',
    use_cache: true,
    vocab_size: 32000,
  };
  const qwen25 = {
    architectures: ['Qwen2ForCausalLM'],
    attention_dropout: 0.0,
    bos_token_id: 151643,
    eos_token_id: 151645,
    hidden_act: 'silu',
    hidden_size: 3584,
    initializer_range: 0.02,
    intermediate_size: 18944,
    max_position_embeddings: 131072,
    max_window_layers: 28,
    model_type: 'qwen2',
    num_attention_heads: 28,
    num_hidden_layers: 28,
    num_key_value_heads: 4,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    sliding_window: 4096,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    transformers_version: '4.44.0',
    use_cache: true,
    use_mrope: false,
    use_sliding_window: false,
    vocab_size: 152064,
  };
  const pythia = {
    architectures: ['GPTNeoXForCausalLM'],
    bos_token_id: 0,
    classifier_dropout: 0.1,
    eos_token_id: 0,
    hidden_act: 'gelu',
    hidden_size: 2560,
    initializer_range: 0.02,
    intermediate_size: 10240,
    layer_norm_eps: 1e-5,
    max_position_embeddings: 2048,
    model_type: 'gpt_neox',
    num_attention_heads: 32,
    num_hidden_layers: 32,
    rotary_emb_base: 10000,
    rotary_pct: 0.25,
    tie_word_embeddings: false,
    torch_dtype: 'float16',
    transformers_version: '4.24.0',
    use_cache: true,
    use_parallel_residual: true,
    vocab_size: 50688,
    custom_pipelines: { 'text-generation': { impl: 'instruct_pipeline.InstructionTextGenerationPipeline' } },
  };
  const gpt2 = {
    _num_labels: 1,
    activation_function: 'gelu_new',
    architectures: ['GPT2LMHeadModel'],
    attn_pdrop: 0.1,
    bos_token_id: 50256,
    embd_pdrop: 0.1,
    eos_token_id: 50256,
    id2label: { '0': 'LABEL_0' },
    initializer_range: 0.02,
    label2id: { LABEL_0: 0 },
    layer_norm_epsilon: 1e-5,
    model_type: 'gpt2',
    n_ctx: 1024,
    n_embd: 768,
    n_head: 12,
    n_layer: 6,
    n_positions: 1024,
    n_special: 0,
    predict_special_tokens: true,
    resid_pdrop: 0.1,
    summary_activation: null,
    summary_first_dropout: 0.1,
    summary_proj_to_labels: true,
    summary_type: 'cls_index',
    summary_use_proj: true,
    task_specific_params: { 'text-generation': { do_sample: true, max_length: 50 } },
    vocab_size: 50257,
    output_past: true,
    gradient_checkpointing: false,
  };
  const smollm2 = {
    ...llama2,
    head_dim: 64,
    hidden_size: 2048,
    is_llama_config: true,
    rope_interleaved: false,
    rope_theta: 130000,
    'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16', fp16: 'float16' } },
  };
  const yarnLlama = {
    ...llama2,
    auto_map: {
      AutoConfig: 'configuration_llama.LlamaConfig',
      AutoModelForCausalLM: 'modeling_llama_yarn.LlamaForCausalLM',
    },
    max_sequence_length: 131072,
    rope_scaling: { factor: 32.0, original_max_position_embeddings: 4096, type: 'yarn', finetuned: true },
  };
  const vicuna = {
    ...llama2,
    max_sequence_length: 2048,
    pad_token_id: 0,
    temperature: 0.9,
    top_p: 0.6,
    max_length: 4096,
  };
  const unsloth = { ...qwen25, unsloth_fixed: true, unsloth_version: '2025.3.4', quantization_config: null };
  const million = {
    ...qwen25,
    dual_chunk_attention_config: {
      chunk_size: 262144,
      local_size: 8192,
      original_max_position_embeddings: 262144,
    },
  };
  const llamafied = { ...llama2, use_sliding_window: false, sliding_window: 32768, max_window_layers: 28 };
  const saved5 = {
    ...qwen25,
    dtype: 'bfloat16',
    layer_types: new Array(28).fill('full_attention') as string[],
    rope_parameters: { rope_theta: 1e6, rope_type: 'default' },
    rope_theta: undefined,
    sliding_window: null,
  };

  it.each(
    Object.entries({
      llama2,
      qwen25,
      pythia,
      gpt2,
      smollm2,
      yarnLlama,
      vicuna,
      unsloth,
      million,
      llamafied,
      saved5,
    }),
  )('%s is read', async (_, config) => {
    const { ignored, architecture } = await read(config);
    expect(architecture).toBe(config.architectures[0]);
    for (const name of ignored) expect(config).toHaveProperty([name]);
    expect(ignored).toContain('architectures');
  });

  it('lists what changes nothing, in the order of the file', async () => {
    expect((await read(smollm2)).ignored).toEqual(
      Object.keys(smollm2).filter(
        (name) => name === 'rope_interleaved' || inertFields.includes(name) || name === 'pretraining_tp',
      ),
    );
  });

  it('names code that is not run, and computes the model as transformers does without it', async () => {
    const { notes, decoder } = await read(yarnLlama);
    expect(notes).toEqual([expect.stringContaining('modeling_llama_yarn.LlamaForCausalLM') as string]);
    expect(decoder.shape.rope).toBe('theta 10000, yarn ×32');
  });

  it('says which of two sections of rope holds', async () => {
    const both = { ...saved5, rope_scaling: { type: 'yarn', factor: 4.0 } };
    const { notes, decoder } = await read(both);
    expect(notes).toEqual([expect.stringContaining('rope_scaling holds') as string]);
    expect(decoder.shape.rope).toBe('theta 10000, yarn ×4');
  });

  it('says which class a contradiction comes to', async () => {
    const { notes, architecture } = await read({ ...llama2, architectures: ['MistralForCausalLM'] });
    expect(architecture).toBe('LlamaForCausalLM');
    expect(notes).toEqual([expect.stringContaining('MistralForCausalLM') as string]);
  });

  it.each([
    // A multi-query GPT-2 under GPT-2's type; a BitNet under Llama's; a Llama with Granite's scales.
    ['attention_head_type', { ...gpt2, attention_head_type: 'multiquery' }],
    ['weight_bits', { ...llama2, architectures: ['BitnetForCausalLM'], weight_bits: 1, input_bits: 8 }],
    ['attention_multiplier', { ...llama2, attention_multiplier: 0.0078125 }],
    ['is_causal', { ...qwen25, is_causal: false }],
    ['is_causal', { ...qwen25, is_causal: null }],
    ['ropeBase2', { ...llama2, ropeBase2: 1e6 }],
    ['qk-norm', { ...llama2, 'qk-norm': true }],
  ])('refuses a model that is computed otherwise: %s', async (field, config) => {
    const message = await refusal(config);
    expect(message).toContain(`config.json: field ${field} (`);
    expect(message).toContain('ONNX');
  });

  it.each([
    { num_layers: 32, n_heads: 32, dim: 4096, hidden_dim: 4096, activation_function: 'silu' },
    { norm_eps: llama2.rms_norm_eps, layer_norm_eps: llama2.rms_norm_eps },
    { share_embedding: false, sequence_parallel_size: 1, block_size: 4096 },
  ])('takes a field of another library that says the same again: %j', async (again) => {
    expect((await read({ ...llama2, ...again })).ignored).toEqual(expect.arrayContaining(Object.keys(again)));
  });

  it.each([
    ['num_layers', { ...llama2, num_layers: 31 }],
    ['norm_eps', { ...llama2, norm_eps: 1e-3 }],
    ['norm_eps', { model_type: 'llama', norm_eps: 1e-6 }],
    ['share_embedding', { ...llama2, share_embedding: true }],
  ])('refuses it where it says something else, or alone: %s', async (field, config) => {
    expect(await refusal(config)).toContain(`config.json: field ${field} (`);
  });

  it('tells what attn_factor of yarn is to the libraries that differ over it', async () => {
    const yarn = { type: 'yarn', factor: 4.0, original_max_position_embeddings: 32768, attn_factor: 0.878 };
    expect(await refusal({ ...qwen25, rope_scaling: yarn })).toMatch(
      /rope_scaling\.attn_factor.*transformers.*vLLM.*attention_factor/,
    );
  });

  it('takes what is left of bitsandbytes with both of its forms off, with a word', async () => {
    const off = {
      quant_method: 'bitsandbytes',
      load_in_4bit: false,
      load_in_8bit: false,
      llm_int8_threshold: 6.0,
    };
    const { notes } = await read({ ...llama2, quantization_config: off });
    expect(notes).toEqual([expect.stringContaining('switches both of its forms off') as string]);
  });

  it.each([
    ['llama', 'num_hidden_layers', { head_dim: 2 ** 30 }],
    ['mistral', 'num_hidden_layers', { head_dim: 2 ** 30 }],
    ['ministral', 'num_hidden_layers', { head_dim: 2 ** 30 }],
    ['qwen2', 'num_hidden_layers', { head_dim: 2 ** 30 }],
    ['qwen3', 'num_hidden_layers', { head_dim: 2 ** 30 }],
    ['gpt_neox', 'num_hidden_layers', { hidden_size: 2 ** 30, num_attention_heads: 1 }],
    ['gpt2', 'n_layer', null],
  ])('%s of 2^30 layers or entries of a head is refused before they are made', async (type, layers, wide) => {
    const config = { model_type: type, ...(type === 'ministral' && { head_dim: 8 }) };
    expect(await refusal({ ...config, [layers]: 2 ** 30 })).toContain(`field ${layers} is not usable`);
    if (wide !== null) expect(await refusal({ ...config, ...wide })).toMatch(/a head of 1073741824 entries/);
  });

  it("reads NaN and infinities, as Python's json does, where nothing is computed from them", async () => {
    const path = join(scratch, 'config.json');
    writeFileSync(path, `{"best_score": NaN, "bound": -Infinity, ${JSON.stringify(llama2).slice(1)}`);
    expect((await readConfiguration(path)).ignored).toEqual(expect.arrayContaining(['best_score', 'bound']));
    writeFileSync(path, JSON.stringify(llama2).replace('"rms_norm_eps":', '"rms_norm_eps":NaN,"x":'));
    await expect(readConfiguration(path)).rejects.toThrow(/rms_norm_eps/);
  });

  it('takes fields that nobody knows if no word of them is of the computation', async () => {
    const own = {
      wandb_run: 'x7',
      dataset: { name: 'a' },
      learning_rate: 3e-4,
      layer_dropout: 0.1,
      notes: ['a'],
    };
    expect((await read({ ...llama2, ...own })).ignored).toEqual(expect.arrayContaining(Object.keys(own)));
  });
});

describe('the tables of fields', () => {
  it.each(Object.entries(families))('%s: no field has two fates', (_, { understood, inert }) => {
    const fates = [...understood, ...inert, ...inertFields, ...Object.keys(refusedFields)];
    const twice = fates.filter((name, index) => fates.indexOf(name) !== index);
    expect(twice).toEqual([]);
  });
});
