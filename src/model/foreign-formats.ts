/** Models in the formats of other programs: what was found, and what would take it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { besideWeights, expected, filesLike, named, type Rule } from './folder-rule.js';
import { refuseOtherConfig } from './other-models.js';
import { adapterFiles, describeAdapter } from './peft-adapter.js';
import { refuseQuantisedConfig } from './quantisation.js';

const saveAgain =
  "load it with transformers' AutoModelForCausalLM and save it with save_pretrained, which writes model.safetensors";

export const gguf =
  "is a model in GGUF, the format of llama.cpp, which takes it; use the checkpoint that it was made from, or turn it into one (transformers' from_pretrained(folder, gguf_file=…), then save_pretrained)";

/** Pickles by other names than transformers gives them are of a trainer's own form, which transformers does not load. */
export function pickle(name: string): string {
  const how = /pytorch_model[^/]*\.bin/.test(name)
    ? `${saveAgain} (safe_serialization=True in versions before 5)`
    : "turn it into Hugging Face's form with the script of the trainer that wrote it (LitGPT's litgpt convert_from_litgpt, OLMo's convert_olmo_to_hf.py and the like), then save it with save_pretrained";
  return `holds its weights as pickle (${name}), which can run code when it is read; expected model.safetensors: ${how}`;
}

/** In order: particular formats come before what many of them have. */
export const foreignFormats: readonly Rule[] = [
  ['gguf', filesLike(/\.gguf$/i, (found) => `${gguf} (${found})`)],
  [
    'llamafile',
    filesLike(
      /\.llamafile$|^ggml.*\.bin$|\.ggml$/i,
      (found) =>
        `holds ${found}, a format of llama.cpp, which takes it; use the checkpoint that it was made from`,
    ),
  ],
  [
    'diffusers-pipeline',
    filesLike(
      /^model_index\.json$/,
      () =>
        `is a diffusers pipeline (model_index.json), which makes images or sound; ${expected} of a language model`,
    ),
  ],
  [
    'tensorrt-engine',
    filesLike(
      /\.(engine|plan|trt)$|^rank\d+\.safetensors$/,
      (found) =>
        `holds ${found} of TensorRT, built for one kind of card, which TensorRT-LLM takes; use the checkpoint that it was built from`,
    ),
  ],
  [
    'nemo-checkpoint',
    ({ files, folders }) => {
      const found = files.find((name) => name.endsWith('.nemo'));
      const unpacked = files.includes('model_config.yaml') && folders.includes('model_weights');
      return found === undefined && !unpacked
        ? null
        : `is a checkpoint of NeMo (${found ?? 'model_config.yaml'}), which NeMo takes; export it to Hugging Face's form (NeMo's export or convert_*_nemo_to_hf)`;
    },
  ],
  [
    'mlc-model',
    filesLike(
      /^mlc-chat-config\.json$|^params_shard_\d+\.bin$/,
      (found) => `is compiled for MLC (${found}), which takes it; use the checkpoint that it was made from`,
    ),
  ],
  [
    'ctranslate2-model',
    ({ files }) =>
      files.includes('model.bin') && files.some((name) => /^(shared_)?vocabulary\.(json|txt)$/.test(name))
        ? 'is a model of CTranslate2 (model.bin), which takes it; use the checkpoint that it was made from'
        : null,
  ],
  [
    'openvino-model',
    filesLike(
      /^openvino_.*\.(xml|bin)$/,
      (found) =>
        `is an OpenVINO model (${found}), which optimum-intel takes; export it to ONNX instead (optimum-cli export onnx), or use the checkpoint that it was made from`,
    ),
  ],
  [
    'coreml-model',
    ({ files, folders }) => {
      const found = [...files, ...folders].filter((name) =>
        /\.(mlpackage|mlmodelc?|pte|tflite|task)$/.test(name),
      );
      return found.length === 0
        ? null
        : `is a model for telephones (${named(found)}), which Core ML, ExecuTorch or LiteRT takes; use the checkpoint that it was made from`;
    },
  ],
  [
    'meta-checkpoint',
    ({ folder, files, folders }) => {
      const inner = folders.find((name) => existsSync(join(folder, name, 'params.json')));
      if (inner !== undefined && files.every((name) => !/config\.json$|\.safetensors$/.test(name)))
        return `has no config.json, but ${inner} in it holds a checkpoint in Meta's or Mistral's own form (params.json); fetch the repository's files for transformers, or turn it into Hugging Face's form (transformers' convert_llama_weights_to_hf.py)`;
      const weights = files.filter((name) => /^consolidated.*\.(pth|safetensors)$/.test(name));
      if (weights.length === 0) return null;
      const by = weights.some((name) => name.endsWith('.pth')) ? "Meta's" : "Mistral's";
      const script = by === "Meta's" ? 'convert_llama_weights_to_hf.py' : 'convert_mistral_weights_to_hf.py';
      const beside = files.includes('params.json') ? 'params.json and ' : '';
      return `is a checkpoint in ${by} own form (${beside}${named(weights)}); turn it into Hugging Face's (transformers' ${script}), or fetch the repository's files for transformers`;
    },
  ],
  [
    'peft-adapter',
    async ({ folder, files }) => {
      const found = adapterFiles(files);
      if (found.length === 0) return null;
      const { what, merges } = await describeAdapter(folder);
      return (
        `is a ${what} (${named(found)}) without the model that it changes; ` +
        (merges
          ? "merge it into its base (peft's AutoPeftModelForCausalLM, merge_and_unload, save_pretrained) and name the result"
          : 'this kind cannot be merged into weights: transformers with peft takes it, here its base alone works')
      );
    },
  ],
  [
    'gptq-checkpoint',
    ({ folder, files, config }) => {
      if (config !== null) {
        refuseOtherConfig(config, join(folder, 'config.json'));
        refuseQuantisedConfig(config, join(folder, 'config.json'));
      }
      const found = files.find((name) => /^(quantize_config|quant_config|hf_quant_config)\.json$/.test(name));
      return found === undefined
        ? null
        : `is a quantised checkpoint (${found}: GPTQ, AWQ or ModelOpt), which vLLM takes; use the full-precision checkpoint that it was made from`;
    },
  ],
  [
    'mlx-weights',
    filesLike(
      /^weights(\.\d+)?\.npz$|\.npz$/,
      (found) =>
        `holds its weights as ${found}, as MLX wrote them first; use the checkpoint that it was made from`,
    ),
  ],
  [
    'variant-weights',
    ({ folder, files }) => {
      const found = files.filter((name) =>
        /^model\.[\w-]+\.safetensors$|^model\.[\w-]+-\d+-of-\d+\.safetensors$|^model\.safetensors\.index\.[\w-]+\.json$/.test(
          name,
        ),
      );
      const [first] = found;
      if (first === undefined) return null;
      const single = found.find((name) => /^model\.[\w-]+\.safetensors$/.test(name) && !/-of-/.test(name));
      const variant = /^model\.(?:safetensors\.index\.)?([\w]+)/.exec(first)?.[1] ?? '';
      return single !== undefined
        ? `holds its weights under the name of a variant alone (${single}); it is a checkpoint all the same: rename or link it to ${join(folder, 'model.safetensors')}`
        : `holds its weights under the names of a variant alone (${named(found)}); load it with from_pretrained(folder, variant=${JSON.stringify(variant)}) and save it with save_pretrained`;
    },
  ],
  [
    'trainer-state',
    ({ folder, files, folders }) => {
      const found = [
        ...folders.filter((name) =>
          /^global_step\d+$|^pytorch_model_fsdp|^mp_rank_\d|^iter_\d+$|^model_and_optim$/.test(name),
        ),
        ...files.filter((name) =>
          /\.distcp$|^mp_rank_\d+.*\.pt$|_optim_states\.pt$|^latest_checkpointed_iteration\.txt$/.test(name),
        ),
      ];
      if (found.length === 0 || files.some((name) => /^pytorch_model.*\.bin$/.test(name))) return null;
      const megatron = found.some((name) => /^iter_|latest_checkpointed/.test(name));
      const deepspeed = found.some((name) => /^global_step|mp_rank|_optim_states/.test(name));
      // accelerate asks for the folder that has the pieces in it.
      const pieces = folders.find((name) => name.startsWith('pytorch_model_fsdp'));
      const how = found.includes('model_and_optim')
        ? "convert it with OLMo-core's convert_checkpoint_to_hf.py"
        : megatron
          ? "convert it with the trainer's own script (Megatron-LM's tools/checkpoint, Megatron-Bridge)"
          : deepspeed
            ? `gather it: python zero_to_fp32.py ${folder} OUT --safe_serialization`
            : `gather it: accelerate merge-weights ${join(folder, pieces ?? '')} OUT`;
      return `holds a trainer's state in pieces (${named(found)}) and no whole model; ${how}, and put config.json beside it`;
    },
  ],
  [
    'pickle-checkpoint',
    ({ files }) => {
      const found = files.filter(
        (name) =>
          /^pytorch_model.*\.bin\.index\.json$|\.(pth|pt|ckpt|pkl|bin)$/.test(name) &&
          !besideWeights.test(name),
      );
      return found.length === 0 ? null : pickle(named(found));
    },
  ],
  [
    'flax-checkpoint',
    filesLike(
      /^flax_model.*\.msgpack$|\.msgpack$/,
      (found) =>
        `holds its weights as ${found} of Flax; load it with from_flax=True in transformers 4 and save it with save_pretrained`,
    ),
  ],
  [
    'orbax-checkpoint',
    ({ files, folders }) =>
      files.some((name) => /^(_METADATA|_CHECKPOINT_METADATA|manifest\.ocdbt|checkpoint)$/.test(name)) ||
      folders.some((name) => name === 'ocdbt.process_0')
        ? "is a checkpoint of JAX (Orbax), which its trainer takes; turn it into Hugging Face's form with the trainer's own script"
        : null,
  ],
  [
    'tensorflow-checkpoint',
    filesLike(
      /^tf_model.*\.h5$|\.h5$|^saved_model\.pb$|\.keras$|\.ckpt.*\.index$/,
      (found) =>
        `holds its weights as ${found} of TensorFlow; load it with from_tf=True in transformers 4 and save it with save_pretrained`,
    ),
  ],
];
