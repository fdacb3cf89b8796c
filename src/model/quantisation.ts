/**
 * Quantised checkpoints, told by config.json or by their tensors, and refused by their own kind: what lies in the files are
 * not the numbers that a model is made of, and reading them as such would give losses of another model without a word.
 */
import { fatalError, type TokensieveError } from '../errors.js';
import type { TensorEntry } from './safetensors.js';

interface Method {
  readonly label: string;
  /** What takes it as it is, or makes a checkpoint of it that is taken here. */
  readonly takenBy: string;
}

const original = 'use the full-precision checkpoint that it was made from';
const dequantised = `${original}, or dequantise it (transformers' model.dequantize(), then save_pretrained)`;

/** By `quant_method`, as transformers 5.24 and the makers of other formats write it. */
const methods: Readonly<Record<string, Method>> = {
  gptq: { label: 'GPTQ', takenBy: `vLLM and transformers with gptqmodel take it; here, ${original}` },
  awq: { label: 'AWQ', takenBy: `vLLM and transformers with gptqmodel take it; here, ${original}` },
  fp8: {
    label: 'FP8 with scales a block',
    takenBy: `vLLM takes it; here, ${original}, or load it with FineGrainedFP8Config(dequantize=True) and save it`,
  },
  fbgemm_fp8: { label: 'FP8 of FBGEMM', takenBy: `vLLM takes it; here, ${original}` },
  mxfp8: { label: 'MXFP8', takenBy: `transformers on a card takes it; here, ${original}` },
  nvfp4: { label: 'NVFP4', takenBy: `vLLM on a Blackwell card takes it; here, ${original}` },
  mxfp4: {
    label: 'MXFP4',
    takenBy: `vLLM takes it; here, load it with Mxfp4Config(dequantize=True) and save it`,
  },
  bitsandbytes: {
    label: 'bitsandbytes',
    takenBy: `transformers with bitsandbytes takes it; here, ${dequantised}; if it was left in the file of a merged model whose weights are plain, take the field out`,
  },
  'compressed-tensors': {
    label: 'compressed-tensors',
    takenBy: `vLLM takes it; here, ${original}, or load it with CompressedTensorsConfig(run_compressed=False) and save it`,
  },
  hqq: { label: 'HQQ', takenBy: `transformers with hqq takes it; here, ${dequantised}` },
  bitnet: {
    label: 'BitNet',
    takenBy: 'transformers and bitnet.cpp take it; use a checkpoint of another model',
  },
  torchao: { label: 'torchao', takenBy: `transformers with torchao takes it; here, ${original}` },
  quanto: { label: 'Quanto', takenBy: `transformers with optimum-quanto takes it; here, ${original}` },
  eetq: { label: 'EETQ', takenBy: `transformers with eetq takes it; here, ${original}` },
  aqlm: { label: 'AQLM', takenBy: `transformers with aqlm takes it; here, ${original}` },
  vptq: { label: 'VPTQ', takenBy: `transformers with vptq takes it; here, ${original}` },
  higgs: { label: 'HIGGS', takenBy: `transformers with flute takes it; here, ${dequantised}` },
  spqr: { label: 'SpQR', takenBy: `transformers with spqr_quant takes it; here, ${original}` },
  quark: { label: 'AMD Quark', takenBy: `vLLM and transformers with quark take it; here, ${original}` },
  fp_quant: { label: 'FP-Quant', takenBy: `transformers with fp_quant takes it; here, ${original}` },
  'auto-round': {
    label: 'AutoRound',
    takenBy: `vLLM and transformers with auto-round take it; here, ${original}`,
  },
  intel: { label: 'AutoRound', takenBy: `transformers with auto-round takes it; here, ${original}` },
  sinq: { label: 'SINQ', takenBy: `transformers with sinq takes it; here, ${original}` },
  metal: { label: 'Metal', takenBy: `transformers on a Mac takes it; here, ${original}` },
  fouroversix: {
    label: 'Four Over Six',
    takenBy: `transformers with fouroversix takes it; here, ${original}`,
  },
  gguf: { label: 'GGUF', takenBy: `llama.cpp takes it; here, ${original}` },
  modelopt: { label: 'NVIDIA ModelOpt', takenBy: `TensorRT-LLM and vLLM take it; here, ${original}` },
  mlx: {
    label: 'MLX',
    takenBy: `mlx_lm on a Mac takes it; here, ${original}, or mlx_lm.convert --dequantize it`,
  },
  exl2: { label: 'EXL2', takenBy: `ExLlamaV2 takes it; here, ${original}` },
  exl3: { label: 'EXL3', takenBy: `ExLlamaV3 takes it; here, ${original}` },
  quip: { label: 'QuIP#', takenBy: `the code that it came with takes it; here, ${original}` },
};

const unnamed: Method = { label: 'quantised', takenBy: `here, ${original}` };

type Members = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * What config.json says of quantisation: the field, and the method that it names. null when it says nothing.
 * `quantization` is what MLX writes, `compression_config` what compressed-tensors wrote first.
 */
function statedMethod(config: Members): { field: string; method: string; settings: Members } | null {
  // MLX writes the same object under both names, without a method.
  for (const field of ['quantization', 'quantization_config', 'compression_config']) {
    const settings = config[field];
    if (!isObject(settings)) continue;
    // Others call something else by this name.
    if (field === 'quantization' && !('bits' in settings) && typeof settings['quant_algo'] !== 'string')
      continue;
    const named = settings['quant_method'];
    if (named === 'bitsandbytes' && !loadsNarrow(settings)) continue;
    const byField =
      field === 'quantization' ? 'mlx' : field === 'compression_config' ? 'compressed-tensors' : '';
    return { field, settings, method: typeof named === 'string' ? named : methodOf(settings) || byField };
  }
  return null;
}

const loadsNarrow = (settings: Members): boolean =>
  settings['load_in_4bit'] === true || settings['load_in_8bit'] === true;

/** What trainers leave of bitsandbytes in a model that they saved whole: transformers skips it, and tensors that are quantised tell it by themselves. */
export const isSwitchedOff = (config: Members): boolean => {
  const settings = config['quantization_config'];
  return isObject(settings) && settings['quant_method'] === 'bitsandbytes' && !loadsNarrow(settings);
};

/** Of settings that name no method: bitsandbytes' older form, and MLX's. */
function methodOf(settings: Members): string {
  if (loadsNarrow(settings)) return 'bitsandbytes';
  if (typeof settings['quant_algo'] === 'string') return 'modelopt';
  return 'group_size' in settings && 'bits' in settings ? 'mlx' : '';
}

/**
 * Refuses a configuration of a quantised model, before anything else of it is read: its tensors, read as weights, would be
 * wrong or missing. Modes that quantise while they compute (BitNet `online`) are meant too.
 * @throws fatal `quantised-checkpoint`
 */
export function refuseQuantisedConfig(config: unknown, path: string): void {
  if (!isObject(config)) return;
  const inner = config['text_config'];
  const stated = statedMethod(config) ?? (isObject(inner) ? statedMethod(inner) : null);
  if (stated === null) return;
  const { field, method, settings } = stated;
  const known = Object.hasOwn(methods, method) ? methods[method] : undefined;
  const name = known?.label ?? (method === '' ? 'a method that it does not name' : JSON.stringify(method));
  throw refusal(
    path,
    `its ${field} says that the model is quantised by ${name}${detailOf(method, settings)}`,
    known ?? unnamed,
  );
}

/** What tells two checkpoints of one method apart, in a few words. */
function detailOf(method: string, settings: Members): string {
  if (method === 'bitsandbytes') return settings['load_in_8bit'] === true ? ', 8 bit' : ', 4 bit';
  if (method === 'bitnet') {
    const online = settings['quantization_mode'] === 'online';
    return online
      ? ', online: it computes with weights rounded to −1, 0 and 1, not with those in the files'
      : ', with packed weights of −1, 0 and 1';
  }
  const bits = settings['bits'] ?? settings['nbits'] ?? settings['w_bit'];
  if (typeof bits === 'number') return `, ${bits} bit`;
  const format = settings['format'] ?? settings['fmt'] ?? settings['quant_algo'];
  return typeof format === 'string' ? `, ${format.slice(0, 64)}` : '';
}

function refusal(place: string, found: string, { takenBy }: Method): TokensieveError {
  return fatalError(
    'quantised-checkpoint',
    `${place}: ${found}; expected weights of F32, F16 or BF16 that are used as they are: ${takenBy}`,
  );
}

/** Names of tensors that only quantised checkpoints have, the telling ones first. */
const traces: readonly (readonly [RegExp, keyof typeof methods | 'unnamed'])[] = [
  [/\.g_idx$/, 'gptq'],
  [/\.(qweight|qzeros)$/, 'awq'],
  [/\.(nested_)?(absmax|quant_map)$|\.quant_state\.|\.SCB$|\.weight_format$/, 'bitsandbytes'],
  [/\.weight_scale_inv$/, 'fp8'],
  [/\.weight_(packed|shape|zero_point|global_scale|g_idx)$/, 'compressed-tensors'],
  [/\.W_q$/, 'hqq'],
  [/\.(codes|codebooks)$/, 'aqlm'],
  [/\.weight\._(data|scale|shift)$|\.weight_qtype$/, 'quanto'],
  [/\.weight:?_weight_(qdata|scale|zero_point)$/, 'torchao'],
  [/\.q_(weight|scale|invperm|groups)$/, 'exl2'],
  [/\.trellis$/, 'exl3'],
  [/\.Qidxs/, 'quip'],
  [/_blocks$/, 'mxfp4'],
  [/\.biases$/, 'mlx'],
  [/(^|\.)(scales?|zeros)$|(weight|input|output|act|[qkv]|proj)_scales?(_inv|_2)?$/, 'unnamed'],
];

/** Types that hold the mantissas of quantised weights. */
const quantisedTypes = /^F[864](_|$)/;

/**
 * Refuses tensors that only quantised checkpoints have, where config.json does not say that it is one.
 * @throws fatal `quantised-checkpoint`, naming the first such tensor
 */
export function refuseQuantisedTensors(folder: string, tensors: readonly TensorEntry[]): void {
  for (const [pattern, key] of traces) {
    const found = tensors.find(({ name }) => pattern.test(name));
    if (found === undefined) continue;
    const method = methods[key] ?? unnamed;
    const label = key === 'awq' ? 'GPTQ or AWQ' : key === 'unnamed' ? '' : method.label;
    throw refusal(
      folder,
      `holds ${found.name} (${found.type}), as checkpoints do that are quantised${label === '' ? '' : ` by ${label}`}, though config.json has no quantization_config`,
      method,
    );
  }
  const narrow = tensors.find(({ type }) => quantisedTypes.test(type));
  if (narrow === undefined) return;
  const { name, type } = narrow;
  throw refusal(folder, `stores ${name} as ${type}, in 8 bits or fewer, with no scales beside it`, unnamed);
}
