import type { Companions } from './companions.js';
import { isRecord } from './companions.js';

/**
 * Which class `AutoTokenizer.from_pretrained(folder)` of transformers 5.24 makes of a folder
 * (models/auto/tokenization_auto.py). It matters because most classes take vocabulary and merges from tokenizer.json and
 * build everything else anew from their own code and tokenizer_config.json.
 */

/** Classes whose pipeline is known here; `TokenizersBackend` takes tokenizer.json as it is. */
export const KNOWN_CLASSES = [
  'TokenizersBackend',
  'GPT2Tokenizer',
  'CodeGenTokenizer',
  'GPTNeoXTokenizer',
  'LlamaTokenizer',
  'CodeLlamaTokenizer',
  'GemmaTokenizer',
  'Qwen2Tokenizer',
  'Qwen3_5Tokenizer',
  'CohereTokenizer',
] as const;

export type LibraryClass = (typeof KNOWN_CLASSES)[number];

/** A class, or the name of one whose code is not followed here. */
export type ClassOrUnknown = { readonly name: LibraryClass } | { readonly unknown: string };

/** Of TOKENIZER_MAPPING_NAMES, what causal language models have; a model type that is not here has no class of its own. */
const CLASS_OF_MODEL: Readonly<Record<string, string>> = Object.fromEntries(
  (
    [
      ['CodeLlamaTokenizer', 'code_llama'],
      ['CohereTokenizer', 'aya_vision cohere cohere2'],
      ['GPT2Tokenizer', 'codegen dbrx emu3 gpt2 gpt_neo gptj jais2 opt phi starcoder2 hyperclovax_vision_v2'],
      ['GPTNeoXTokenizer', 'falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm'],
      [
        'GemmaTokenizer',
        'diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 t5gemma zaya',
      ],
      ['LlamaTokenizer', 'idefics idefics2'],
      [
        'Qwen2Tokenizer',
        'audioflamingo3 colqwen2 internvl ovis2 qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe qwen3_vl qwen3_vl_moe',
      ],
      ['Qwen3_5Tokenizer', 'qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp'],
      ['OpenAIGPTTokenizer', 'openai-gpt'],
      ['XGLMTokenizer', 'xglm'],
      [
        'TokenizersBackend',
        'flex_olmo glm glm4 glm4_moe glm4_moe_lite glm4v gpt_bigcode granite granitemoe granitemoehybrid granitemoeshared kimi_k25 kimi_linear mimo_v2_flash ministral ministral3 mistral mistral3 mistral_large4 mixtral olmo2 olmo3 olmo_hybrid persimmon pixtral stablelm voxtral arctic chatlm ernie4_5 ernie4_5_moe fuyu h2ovl_chat hyperclovax hyperclovax_vlm internlm2 internlm3 iquestcoder jamba llava llava_next minicpm3 minicpmv minimax_m2 modernbert-decoder molmo molmo2 nemotron nvfp4 opencua openvla phi3 phi3_v phimoe step3_vl vipllava smolvlm',
      ],
    ] as const
  ).flatMap(([name, types]) => types.split(' ').map((type) => [type, name])),
);

/** Model types whose published tokenizer_class is known to be wrong (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS). */
const WRONG_HUB_CLASS = new Set(
  'arctic chatlm ernie4_5 ernie4_5_moe fuyu h2ovl_chat hyperclovax hyperclovax_vlm hyperclovax_vision_v2 internlm2 internlm3 iquestcoder jamba llava llava_next minicpm3 minicpmv minimax_m2 modernbert modernbert-decoder molmo molmo2 nemotron nvfp4 opencua openvla paddleocr_vl phi3 phi3_v phimoe qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp step3_vl vipllava cohere_asr camembertv2-base siglip2 smolvlm'.split(
    ' ',
  ),
);

/** Names that mean "tokenizer.json as it is". */
const BACKEND = new Set([
  'TokenizersBackend',
  'PreTrainedTokenizer',
  'PreTrainedTokenizerFast',
  'PythonBackend',
  'BloomTokenizer',
]);

/** Classes of the library that build a pipeline of their own and are not followed here; any other unknown name is no class of it. */
const OTHER_CLASSES = new Set(
  (
    'Albert Barthez Bartpho Bart Bert BertGeneration BertJapanese Bertweet BigBird BioGpt Blenderbot BlenderbotSmall ByT5 Camembert Canine CLIP Clvp ConvBert Cpm CpmAnt CTRL ' +
    'Deberta DebertaV2 Dia DistilBert DPRContextEncoder DPRQuestionEncoder Electra Esm Esmc FNet Flaubert FSMT Funnel GPTNeoXJapanese GPTSw3 Herbert Lasr LayoutLM LayoutLMv2 LayoutLMv3 LayoutXLM LED ' +
    'Longformer Luke Lxmert M2M100 Marian MBart MBart50 MarkupLM Mgpstr MLuke MobileBert MPNet Mvp MyT5 Nllb Nougat OpenAIGPT Parakeet Pegasus Perceiver Phobert PLBart ProphetNet Rag Reformer RemBert ' +
    'Roberta RoCBert RoFormer SeamlessM4T Siglip Siglip2 Speech2Text SpeechT5 Splinter SqueezeBert T5 Tapas Tipsv2 Udop VideoPrism Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC Whisper XGLM XLM XLMRoberta XLNet'
  )
    .split(' ')
    .map((name) => `${name}Tokenizer`),
);

const withoutFast = (name: string): string => (name.endsWith('Fast') ? name.slice(0, -4) : name);
const nameIn = (json: Readonly<Record<string, unknown>> | null, key: string): string | null => {
  const value = json?.[key];
  return typeof value === 'string' && value !== '' ? value : null;
};

/** Code of the tokenizer's own, which the library then leaves aside unless it is trusted; other keys name that of processors. */
const namesTokenizerCode = (autoMap: unknown): boolean =>
  Array.isArray(autoMap) || (isRecord(autoMap) && autoMap['AutoTokenizer'] != null);

/**
 * @param mentionsByteLevel whether tokenizer.json has a component ByteLevel anywhere
 */
export function libraryClassOf(
  { tokenizerConfig, config }: Pick<Companions, 'tokenizerConfig' | 'config'>,
  mentionsByteLevel: boolean,
): ClassOrUnknown {
  const declared = nameIn(tokenizerConfig, 'tokenizer_class') ?? nameIn(config, 'tokenizer_class');
  const modelType = nameIn(config, 'model_type');
  const ofModel = modelType === null ? undefined : CLASS_OF_MODEL[modelType];
  const wrong = modelType !== null && WRONG_HUB_CLASS.has(modelType);
  const remote = namesTokenizerCode(tokenizerConfig?.['auto_map']);
  if (declared === null) return named(ofModel ?? 'TokenizersBackend');
  const hub = withoutFast(declared);
  if (!remote && hub === 'LlamaTokenizer' && !wrong && mentionsByteLevel)
    return { name: 'TokenizersBackend' };
  if (!remote && ofModel !== undefined && ofModel !== hub) {
    if (ofModel === 'TokenizersBackend') return { name: 'TokenizersBackend' };
    return named(wrong ? ofModel : hub);
  }
  return named(hub);
}

function named(name: string): ClassOrUnknown {
  const known = KNOWN_CLASSES.find((one) => one === name);
  if (known !== undefined) return { name: known };
  return OTHER_CLASSES.has(name) && !BACKEND.has(name) ? { unknown: name } : { name: 'TokenizersBackend' };
}
