/** config.json files of models that are no decoder of one text: told by what they are, before any field is missed. */
import { fatalError } from '../errors.js';

type Members = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Model types of encoders, which see the tokens that follow and give no likelihood of a text. */
const encoders = new Set([
  ...['albert', 'bert', 'camembert', 'convbert', 'deberta', 'deberta-v2', 'distilbert', 'electra', 'ernie'],
  ...['esm', 'eurobert', 'flaubert', 'funnel', 'ibert', 'layoutlm', 'longformer', 'luke', 'megatron-bert'],
  ...[
    'mobilebert',
    'modernbert',
    'mpnet',
    'mra',
    'neobert',
    'nezha',
    'nomic_bert',
    'nystromformer',
    'rembert',
  ],
  ...['roberta', 'roberta-prelayernorm', 'roc_bert', 'roformer', 'squeezebert', 'xlm', 'xlm-roberta'],
  ...['xlm-roberta-xl', 'xmod', 'yoso'],
]);

/** Model types of encoder-decoders whose configurations may leave out that they are. */
const encoderDecoders = new Set([
  ...[
    'bart',
    'bigbird_pegasus',
    'blenderbot',
    'blenderbot-small',
    'encoder-decoder',
    'fsmt',
    'led',
    'longt5',
    'm2m_100',
  ],
  ...[
    'marian',
    'mbart',
    'moonshine',
    'mt5',
    'mvp',
    'nllb-moe',
    'pegasus',
    'pegasus_x',
    'plbart',
    'prophetnet',
  ],
  ...['seamless_m4t', 'speech_to_text', 't5', 't5gemma', 'udop', 'umt5', 'switch_transformers', 'whisper'],
]);

const wantedDecoder =
  'expected a language model that reads text from left to right: use one of these, as checkpoint or ONNX export';

/**
 * What a config.json is of, where it is no decoder of text; null where it may be one.
 * @param config the parsed file
 */
export function otherModel(config: unknown): string | null {
  if (!isObject(config)) return null;
  const type = typeof config['model_type'] === 'string' ? config['model_type'].slice(0, 64) : '';
  const named = type === '' ? '' : ` (${type})`;
  if (typeof config['_class_name'] === 'string' || '_diffusers_version' in config) {
    return `a part of a diffusers pipeline (${String(config['_class_name']).slice(0, 64)}), which makes images or sound; ${wantedDecoder}`;
  }
  if (isObject(config['pretrained_config']) || isObject(config['build_config'])) {
    return `a TensorRT-LLM engine, built for one kind of card; use the checkpoint that it was built from`;
  }
  // Encoders and decoders inside of one model each have a configuration of their own; so have models of pictures and sound.
  if (
    config['is_encoder_decoder'] === true ||
    encoderDecoders.has(type) ||
    (isObject(config['encoder']) && isObject(config['decoder']))
  ) {
    return `an encoder-decoder model${named}, whose loss hangs on a second text; ${wantedDecoder}`;
  }
  const senses = ['vision_config', 'audio_config', 'vision_tower', 'mm_vision_tower'].filter((key) =>
    Boolean(config[key]),
  );
  if (isObject(config['text_config']) || isObject(config['thinker_config']) || senses.length > 0) {
    const of = senses.length > 0 ? ` with ${senses.join(', ')}` : '';
    return `a model of text and something else${named}${of}, its decoder in text_config; save the language model alone (transformers: AutoModelForCausalLM or the model's .language_model, then save_pretrained)`;
  }
  if (encoders.has(type)) {
    return `an encoder${named}, which sees the tokens that follow and gives a text no likelihood; ${wantedDecoder}`;
  }
  return null;
}

/** @throws fatal `other-model` */
export function refuseOtherConfig(config: unknown, path: string): void {
  const found = otherModel(config);
  if (found !== null) throw fatalError('other-model', `${path}: is of ${found}`);
}
