import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { TokensieveError } from '#tokensieve/errors.js';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { inspectModel } from '#tokensieve/inspect/model-folder.js';
import { modelForm } from '#tokensieve/model/folder-kind.js';
import { prepareModel } from '#tokensieve/model/prepare.js';
import { openModelInputs } from '#tokensieve/score/open-inputs.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openTrainingModel } from '#tokensieve/train/model.js';
import { writeRandomCheckpoint } from '../support/checkpoints.js';

// Everything that people point a loader at, and the one sentence that each is answered with.
const scratch = mkdtempSync(join(tmpdir(), 'folder-kind-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let count = 0;
/** A folder of these files, by path and text; a name that ends in / is a folder. */
function made(files: Readonly<Record<string, string>>, name = `${count++}`): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    const path = join(folder, file);
    mkdirSync(file.endsWith('/') ? path : dirname(path), { recursive: true });
    if (!file.endsWith('/')) writeFileSync(path, text);
  }
  return folder;
}

const llama = JSON.stringify({ architectures: ['LlamaForCausalLM'], model_type: 'llama' });
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'4d'.repeat(32)}\nsize 2200119864\n`;
const tokenizer = JSON.stringify({ model: { type: 'BPE', vocab: {}, merges: [] } });
const settings = {
  device: 'cpu',
  attention: 'across',
  entropy: false,
  cacheFolder: join(scratch, 'cache'),
} as const;

async function refusal(opening: Promise<unknown>): Promise<TokensieveError> {
  const error: unknown = await opening.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TokensieveError);
  return error as TokensieveError;
}

/** kind, files, code, what is said of it, what would take it. */
const kinds: readonly (readonly [string, Readonly<Record<string, string>>, string, RegExp, RegExp])[] = [
  ['an empty folder', {}, 'empty-folder', /is empty/, /fetch the model/],
  [
    'a GGUF alone',
    { 'tiny-q4_k_m.gguf': 'GGUF' },
    'gguf',
    /GGUF.*tiny-q4_k_m\.gguf/,
    /llama\.cpp.*gguf_file/,
  ],
  [
    'a GGUF with a tokenizer and a configuration',
    { 'a.gguf': 'GGUF', 'config.json': llama, 'tokenizer.json': tokenizer },
    'gguf',
    /GGUF/,
    /checkpoint that it was made from/,
  ],
  [
    'a LoRA adapter alone',
    {
      'adapter_config.json': '{"peft_type":"LORA","base_model_name_or_path":"org/base"}',
      'adapter_model.safetensors': '',
      'tokenizer.json': tokenizer,
    },
    'peft-adapter',
    /PEFT adapter \(LORA\) of org\/base/,
    /merge_and_unload/,
  ],
  ['an adapter as a pickle', { 'adapter_model.bin': '' }, 'peft-adapter', /PEFT adapter/, /merge_and_unload/],
  [
    "Meta's form",
    { 'params.json': '{}', 'consolidated.00.pth': '', 'tokenizer.model': '' },
    'meta-checkpoint',
    /Meta's own form \(params\.json and consolidated\.00\.pth\)/,
    /convert_llama_weights_to_hf/,
  ],
  [
    "Mistral's form",
    { 'params.json': '{}', 'consolidated.safetensors': '', 'tekken.json': '{}' },
    'meta-checkpoint',
    /Mistral's own form/,
    /convert_mistral_weights_to_hf/,
  ],
  [
    'a pickle',
    { 'config.json': llama, 'pytorch_model.bin': '' },
    'pickle-checkpoint',
    /pytorch_model\.bin.*run code/,
    /save_pretrained/,
  ],
  [
    'sharded pickles',
    { 'config.json': llama, 'pytorch_model.bin.index.json': '{}', 'pytorch_model-00001-of-00002.bin': '' },
    'pickle-checkpoint',
    /pickle/,
    /save_pretrained/,
  ],
  ['a .pth', { 'model.pth': '' }, 'pickle-checkpoint', /model\.pth/, /save_pretrained/],
  [
    "a trainer's own pickle",
    { 'lit_model.pth': '' },
    'pickle-checkpoint',
    /lit_model\.pth/,
    /script of the trainer/,
  ],
  [
    'a prompt, which has nothing to merge',
    { 'adapter_config.json': '{"peft_type":"PROMPT_TUNING"}', 'adapter_model.safetensors': '' },
    'peft-adapter',
    /PEFT adapter \(PROMPT_TUNING\)/,
    /cannot be merged/,
  ],
  [
    "Meta's form in a folder of the repository",
    { 'original/params.json': '{}', 'original/consolidated.00.pth': '', 'README.md': '' },
    'meta-checkpoint',
    /original in it holds a checkpoint in Meta's/,
    /convert_llama_weights_to_hf/,
  ],
  [
    'pieces of OLMo-core',
    { 'config.json': '{"model":{}}', 'model_and_optim/.metadata': '' },
    'trainer-state',
    /model_and_optim/,
    /convert_checkpoint_to_hf/,
  ],
  ['a .pt', { 'weights.pt': '' }, 'pickle-checkpoint', /weights\.pt/, /save_pretrained/],
  [
    'AutoGPTQ under its own names',
    { 'config.json': llama, 'quantize_config.json': '{"bits":4}', 'gptq_model-4bit-128g.safetensors': '' },
    'gptq-checkpoint',
    /quantize_config\.json: GPTQ, AWQ/,
    /full-precision checkpoint/,
  ],
  [
    'GPTQ whose weights are a pickle',
    {
      'config.json': '{"model_type":"llama","quantization_config":{"quant_method":"gptq","bits":4}}',
      'model.pt': '',
    },
    'quantised-checkpoint',
    /GPTQ, 4 bit/,
    /full-precision checkpoint/,
  ],
  [
    'AWQ without weights',
    { 'config.json': '{"model_type":"llama","quantization_config":{"quant_method":"awq","bits":4}}' },
    'quantised-checkpoint',
    /AWQ, 4 bit/,
    /full-precision checkpoint/,
  ],
  [
    'FP8',
    {
      'config.json': '{"model_type":"llama","quantization_config":{"quant_method":"fp8"}}',
      'model.safetensors': '',
    },
    'quantised-checkpoint',
    /FP8/,
    /dequantize=True/,
  ],
  [
    'MLX',
    {
      'config.json': '{"model_type":"llama","quantization":{"group_size":64,"bits":4}}',
      'model.safetensors': '',
    },
    'quantised-checkpoint',
    /quantization says.*MLX, 4 bit/,
    /mlx_lm\.convert --dequantize/,
  ],
  [
    "MLX's first form",
    { 'config.json': llama, 'weights.npz': '' },
    'mlx-weights',
    /weights\.npz.*MLX/,
    /checkpoint that it was made from/,
  ],
  [
    'OpenVINO',
    { 'config.json': llama, 'openvino_model.xml': '', 'openvino_model.bin': '', 'tokenizer.json': tokenizer },
    'openvino-model',
    /OpenVINO/,
    /optimum-cli export onnx/,
  ],
  [
    'Flax',
    { 'config.json': llama, 'flax_model.msgpack': '' },
    'flax-checkpoint',
    /flax_model\.msgpack of Flax/,
    /from_flax=True/,
  ],
  [
    'TensorFlow',
    { 'config.json': llama, 'tf_model.h5': '' },
    'tensorflow-checkpoint',
    /tf_model\.h5 of TensorFlow/,
    /from_tf=True/,
  ],
  [
    'JAX',
    { _CHECKPOINT_METADATA: '', 'd/': '' },
    'orbax-checkpoint',
    /JAX \(Orbax\)/,
    /trainer's own script/,
  ],
  [
    'a variant alone',
    { 'config.json': llama, 'model.fp16.safetensors': '' },
    'variant-weights',
    /name of a variant alone \(model\.fp16\.safetensors\)/,
    /rename or link it to .*model\.safetensors/,
  ],
  [
    'shards of a variant',
    {
      'config.json': llama,
      'model.safetensors.index.fp16.json': '{}',
      'model.fp16-00001-of-00002.safetensors': '',
      'model.fp16-00002-of-00002.safetensors': '',
    },
    'variant-weights',
    /variant alone/,
    /variant="fp16"/,
  ],
  [
    'a pipeline of diffusers',
    { 'model_index.json': '{}', 'unet/config.json': '{}' },
    'diffusers-pipeline',
    /diffusers/,
    /language model/,
  ],
  [
    'a part of diffusers',
    {
      'config.json': '{"_class_name":"UNet2DConditionModel","_diffusers_version":"0.30.0"}',
      'model.safetensors': '',
    },
    'other-model',
    /UNet2DConditionModel/,
    /language model/,
  ],
  [
    'an encoder-decoder',
    { 'config.json': '{"model_type":"t5","is_encoder_decoder":true}', 'model.safetensors': '' },
    'other-model',
    /encoder-decoder model \(t5\)/,
    /left to right/,
  ],
  [
    'an export of an encoder-decoder',
    { 'config.json': '{"model_type":"t5","is_encoder_decoder":true}', 'decoder_model.onnx': '' },
    'other-model',
    /encoder-decoder model \(t5\)/,
    /left to right/,
  ],
  [
    'an encoder-decoder that does not say so',
    { 'config.json': '{"model_type":"marian"}', 'model.safetensors': '' },
    'other-model',
    /encoder-decoder model \(marian\)/,
    /left to right/,
  ],
  [
    'BERT',
    { 'config.json': '{"model_type":"bert"}', 'model.safetensors': '' },
    'other-model',
    /an encoder \(bert\)/,
    /left to right/,
  ],
  [
    'a model of pictures and text',
    { 'config.json': '{"model_type":"llava","text_config":{},"vision_config":{}}', 'model.safetensors': '' },
    'other-model',
    /text_config.*|vision_config/,
    /save the language model alone/,
  ],
  [
    'a model of sound and text as a pickle',
    {
      'config.json': '{"model_type":"qwen2_audio","audio_config":{"model_type":"x"}}',
      'pytorch_model.bin': '',
    },
    'other-model',
    /audio_config/,
    /save the language model alone/,
  ],
  [
    'a folder of checkpoints',
    {
      'checkpoint-500/config.json': llama,
      'checkpoint-1000/config.json': llama,
      'checkpoint-1000/model.safetensors': '',
    },
    'folder-of-checkpoints',
    /folder of checkpoints/,
    /name one of them: .*checkpoint-1000$/,
  ],
  [
    'a folder around a model',
    { 'model/config.json': llama, 'model/model.safetensors': '', 'metrics.jsonl': '{}' },
    'no-checkpoint',
    /is no model itself, but model in it is/,
    /name .*model$/,
  ],
  [
    'a data set',
    { 'train-00000.parquet': '', 'dataset_info.json': '{}' },
    'data-folder',
    /data set \(dataset_info\.json, train/,
    /--shards/,
  ],
  ['jsonl', { 'a.jsonl.gz': '' }, 'data-folder', /data set/, /--shards/],
  [
    'pieces of FSDP',
    { 'pytorch_model_fsdp_0/__0_0.distcp': '', 'trainer_state.json': '{}' },
    'trainer-state',
    /trainer's state in pieces \(pytorch_model_fsdp_0\)/,
    /accelerate merge-weights \S*pytorch_model_fsdp_0 OUT/,
  ],
  [
    'pieces beside each other',
    { '__0_0.distcp': '', '.metadata': '' },
    'trainer-state',
    /__0_0\.distcp/,
    /merge-weights/,
  ],
  [
    'what a trainer leaves beside weights, without them',
    {
      'config.json': llama,
      'optimizer.pt': '',
      'rng_state.pth': '',
      'training_args.bin': '',
      'trainer_state.json': '',
    },
    'trainer-state',
    /optimizer\.pt, rng_state\.pth and 2 more.*no weights/,
    /fetch model\.safetensors/,
  ],
  [
    'pieces of DeepSpeed',
    { 'global_step500/mp_rank_00_model_states.pt': '', latest: 'global_step500', 'zero_to_fp32.py': '' },
    'trainer-state',
    /global_step500/,
    /zero_to_fp32\.py/,
  ],
  [
    'pieces of Megatron',
    { 'iter_0001000/mp_rank_00/model_optim_rng.pt': '', 'latest_checkpointed_iteration.txt': '1000' },
    'trainer-state',
    /iter_0001000/,
    /Megatron/,
  ],
  ['NeMo', { 'llama.nemo': '' }, 'nemo-checkpoint', /NeMo \(llama\.nemo\)/, /Hugging Face's form/],
  [
    'NeMo unpacked',
    { 'model_config.yaml': '', 'model_weights/': '' },
    'nemo-checkpoint',
    /model_config\.yaml/,
    /Hugging Face's form/,
  ],
  [
    'TensorRT',
    { 'rank0.engine': '', 'config.json': '{"pretrained_config":{}}' },
    'tensorrt-engine',
    /rank0\.engine of TensorRT/,
    /built from/,
  ],
  ['MLC', { 'mlc-chat-config.json': '{}', 'params_shard_0.bin': '' }, 'mlc-model', /MLC/, /made from/],
  [
    'CTranslate2',
    { 'model.bin': '', 'vocabulary.json': '[]' },
    'ctranslate2-model',
    /CTranslate2/,
    /made from/,
  ],
  ['Core ML', { 'llama.mlpackage/Manifest.json': '{}' }, 'coreml-model', /llama\.mlpackage/, /made from/],
  ['llama.cpp of old', { 'ggml-model-q4_0.bin': '' }, 'llamafile', /llama\.cpp/, /made from/],
  [
    'weights without a configuration',
    { 'model.safetensors': '' },
    'no-checkpoint',
    /no config\.json beside model\.safetensors/,
    /fetch the repository's/,
  ],
  [
    'a configuration alone',
    { 'config.json': llama },
    'no-checkpoint',
    /but no model\.safetensors/,
    /fetch the weights/,
  ],
  [
    'shards without their index',
    { 'config.json': llama, 'model-00001-of-00002.safetensors': '' },
    'no-checkpoint',
    /no model\.safetensors\.index\.json/,
    /fetch the index/,
  ],
  [
    'another name',
    { 'config.json': llama, 'my.safetensors': '' },
    'no-checkpoint',
    /my\.safetensors, but no model\.safetensors/,
    /rename/,
  ],
  [
    'a tokenizer alone',
    { 'tokenizer.json': tokenizer },
    'no-checkpoint',
    /tokenizer \(tokenizer\.json\) and no model/,
    /fetch the rest/,
  ],
  [
    'a download in work',
    { 'weights.incomplete': '' },
    'no-checkpoint',
    /download that has not ended/,
    /let it end/,
  ],
  [
    'anything else',
    { 'notes.txt': '' },
    'no-checkpoint',
    /has no config\.json \(it holds notes\.txt\)/,
    /check the path/,
  ],
];

describe('a folder that is no model', () => {
  it.each(kinds)('%s', async (_, files, code, found, takes) => {
    const folder = made(files);
    const error = await refusal(prepareModel(folder, settings));
    expect(error.code).toBe(code);
    expect(error.message.startsWith(folder)).toBe(true);
    expect(error.message).toMatch(found);
    expect(error.message).toMatch(takes);
    // What a run, a trainer and `model info` say is the same, and nothing of a tokenizer is said before it.
    const request = {
      reference: folder,
      tokenizer: { control_tokens: 'text' },
      sequence: { attention: 'across' },
      score: { entropy: false, precision: 'auto' },
      run: { tokenizer_engine: 'auto' },
    } as Parameters<typeof openModelInputs>[0];
    const others = [
      () => inspectModel(folder, null),
      () => openModelInputs(request, 'cpu'),
      () => openTrainingModel({ start: folder, seed: 0 }),
    ];
    for (const open of others) expect((await refusal(open())).message).toBe(error.message);
  });

  it("the Hub's cache names the snapshot that main is", async () => {
    const folder = made(
      {
        'refs/main': 'b0b',
        'blobs/': '',
        'snapshots/a0a/config.json': llama,
        'snapshots/b0b/config.json': llama,
      },
      'models--org--tiny-llama',
    );
    const { code, message } = await refusal(prepareModel(folder, settings));
    expect(code).toBe('hub-cache');
    expect(message).toBe(
      `${folder}: is the Hub's cache of org/tiny-llama; name the snapshot in it: ${join(folder, 'snapshots/b0b')}`,
    );
    const around = made({ 'models--org--tiny/snapshots/a/config.json': llama }, 'hub');
    expect((await refusal(prepareModel(around, settings))).message).toMatch(/cache of the Hub with 1 model/);
  });

  it('a path that leads nowhere, and how to fetch what looks like a name of the Hub', async () => {
    const error = await refusal(prepareModel('org/tiny-llama', settings));
    expect([error.reach, error.code]).toEqual(['fatal', 'no-such-folder']);
    expect(error.message).toMatch(
      /^org\/tiny-llama: no such folder.*hf download org\/tiny-llama --local-dir tiny-llama$/,
    );
    expect((await refusal(prepareModel(join(scratch, 'nowhere'), settings))).message).toMatch(
      /check the path$/,
    );
  });

  it.each([
    ['m.gguf', 'GGUF\x03', 'gguf', /GGUF/],
    ['pytorch_model.bin', '', 'pickle-checkpoint', /pickle/],
    ['model.safetensors', '', 'not-a-folder', /name the folder that it lies in/],
    ['model.onnx', '', 'not-a-folder', /name the folder that it lies in/],
    ['notes.txt', 'x', 'not-a-folder', /a model is a folder/],
    ['lfs.safetensors', pointer, 'git-lfs-pointer', /git lfs pull/],
  ])('a file where a folder is wanted: %s', async (name, text, code, says) => {
    const path = join(made({ [name]: text }), name);
    const error = await refusal(prepareModel(path, settings));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(says);
  });
});

describe('a stand-in for a file', () => {
  const whole = (): string => {
    const folder = join(scratch, `${count++}`);
    writeRandomCheckpoint(folder, { architecture: 'LlamaForCausalLM', seed: 1, shards: 2 });
    return folder;
  };

  it.each([
    'config.json',
    'model.safetensors.index.json',
    'model-00002-of-00002.safetensors',
    'model.safetensors',
    'tokenizer.json',
  ])('a Git-LFS pointer in the place of %s', async (name) => {
    const folder = whole();
    writeFileSync(join(folder, name), pointer);
    const error = await refusal(prepareModel(folder, settings));
    expect(error.code).toBe('git-lfs-pointer');
    expect(error.message).toMatch(
      new RegExp(`${name.replaceAll('.', '\\.')}: is a Git-LFS pointer.*git lfs pull`),
    );
  });

  it.each(['model.onnx', 'model.onnx_data', 'onnx/model.onnx', 'onnx/model.onnx.data'])(
    'a Git-LFS pointer in the place of %s',
    async (name) => {
      const folder = made({ 'config.json': llama, 'model.onnx': '\x08\x08', [name]: pointer });
      expect((await refusal(prepareModel(folder, settings))).message).toMatch(/Git-LFS pointer/);
    },
  );

  it('pointers in the place of files that nothing reads do no harm', async () => {
    const folder = whole();
    for (const name of ['pytorch_model.bin', 'tf_model.h5', 'consolidated.safetensors'])
      writeFileSync(join(folder, name), pointer);
    expect((await prepareModel(folder, settings)).info.tensors?.unreadFiles).toEqual([
      'consolidated.safetensors',
    ]);
  });

  it('a link whose target was not copied', async () => {
    const folder = made({ 'config.json': llama });
    symlinkSync('../../blobs/4d4d', join(folder, 'model.safetensors'));
    const error = await refusal(prepareModel(folder, settings));
    expect(error.code).toBe('dangling-link');
    expect(error.message).toMatch(/is a link to \.\.\/\.\.\/blobs\/4d4d, which is not there/);
  });

  it('a pointer given to inspect by itself', async () => {
    const path = join(made({ 'model.safetensors': pointer }), 'model.safetensors');
    const options = { storage: localStorage(), cacheFolder: null };
    expect((await refusal(inspect(path, options))).message).toMatch(/Git-LFS pointer/);
    const gguf = join(made({ 'm.gguf': 'GGUF\x03\0\0\0' }), 'm.gguf');
    expect((await refusal(inspect(gguf, options))).message).toMatch(/llama\.cpp/);
    expect((await refusal(inspect(dirname(gguf), options))).message).toMatch(/llama\.cpp/);
  });
});

describe('what lies beside a model', () => {
  const model = (files: Readonly<Record<string, string>>): string => {
    const folder = made(files);
    writeRandomCheckpoint(folder, { architecture: 'Qwen3ForCausalLM', seed: 1 });
    return folder;
  };

  it.each([
    [{ 'adapter_config.json': '{"peft_type":"LORA"}', 'adapter_model.safetensors': '' }],
    [{ 'adapter_config.json': '{}' }],
    [{ 'adapter_model.bin': '' }],
  ])('an adapter is refused: %j', async (files) => {
    const error = await refusal(prepareModel(model(files), settings));
    expect(error.code).toBe('adapter-beside-model');
    for (const name of Object.keys(files)) expect(error.message).toContain(name);
    expect(error.message).toMatch(/merge_and_unload.*move the adapter's files away/);
  });

  it('other formats of the same model are not looked at', async () => {
    const files = {
      'pytorch_model.bin': '',
      'a.gguf': 'GGUF',
      'flax_model.msgpack': '',
      'onnx/model.onnx': '',
      'original/params.json': '{}',
    };
    const folder = model(files);
    expect(await modelForm(folder)).toBe('checkpoint');
    expect((await prepareModel(folder, settings)).info.warnings).toEqual([]);
  });
});

it('an ONNX export is no start of training', async () => {
  const folder = made({ 'model.onnx': '\x08\x08' });
  const error = await refusal(openTrainingModel({ start: folder, seed: 0 }));
  expect([error.reach, error.code]).toEqual(['usage', 'not-trainable']);
});
