/**
 * What becomes of each field of config.json. The model is what transformers builds from the file, and transformers
 * passes over every field that its class does not read: such a field changes no loss by itself, but may be the mark
 * of a model that is computed otherwise. So there are three fates, and nothing in between:
 * understood (the family's schema), refused by name, or known to change nothing, and then listed in `model info`.
 */
import { fatalError } from '../errors.js';
import type { Family } from './decoder.js';

/** Fields that name the family or that are read where the weights are. */
const readElsewhere: ReadonlySet<string> = new Set([
  'model_type',
  'quantization_config',
  'compression_config',
  'quantization',
  'transformers_weights',
]);

/** Of any family: bookkeeping, training, classification heads, how a library runs the model. */
const bookkeeping = `
  _name_or_path name_or_path _commit_hash transformers_version architectures auto_map torch_dtype dtype
  use_cache gradient_checkpointing initializer_range output_attentions output_hidden_states output_scores return_dict
  use_return_dict torchscript is_decoder chunk_size_feed_forward use_bfloat16 tf_legacy_loss keys_to_ignore_at_inference
  bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id cls_token_id mask_token_id decoder_start_token_id
  tokenizer_class prefix id2label label2id num_labels problem_type finetuning_task task_specific_params
  attn_implementation _attn_implementation _attn_implementation_autoset experts_implementation use_flash_attention
  use_flash_attention_2 _flash_attn_2_enabled flash_attn use_flash_attn use_sdpa distributed_config
  model_max_length max_sequence_length max_seq_len seq_length tokenizer_model_max_length
  unsloth_version unsloth_fixed generation_config tie_encoder_decoder transformers.js_config
  base_model_tp_plan base_model_pp_plan base_model_fsdp_plan attention_probs_dropout_prob num_logits_to_keep
  tie_last_hidden_states is_llama_config output_router_logits
  sequence_parallel sequence_parallel_size context_parallel_size data_parallel_size model_parallel model_parallel_size
`;

/** Settings of generation that older configurations hold, as GenerationConfig names them. */
const generation = `
  assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens diversity_penalty do_sample
  early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff
  exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty max_length max_new_tokens
  min_length no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams
  num_return_sequences remove_invalid_values repetition_penalty return_dict_in_generate suppress_tokens
  target_lookbehind temperature top_k top_p typical_p
`;

const words = (text: string): string[] => text.trim().split(/\s+/);

/** Fields that change no loss of any family. */
export const inertFields: readonly string[] = [...words(bookkeeping), ...words(generation)];

/**
 * Fields that change the computation where they are set, and that no family here has; with what they say. The values
 * beside null, false, 0 and nothing that leave the computation as it is come after.
 */
export const refusedFields: Readonly<Record<string, readonly [says: string, ...neutral: unknown[]]>> = {
  is_causal: ['attention that also looks ahead', true],
  use_bidirectional_attention: ['attention that also looks ahead'],
  is_encoder_decoder: ['an encoder beside the decoder'],
  add_cross_attention: ['attention to an encoder'],
  cross_attention_hidden_size: ['attention to an encoder'],
  text_config: ['a model of text inside a larger one'],
  vision_config: ['a model of images'],
  audio_config: ['a model of sound'],
  per_layer_config: ['layers that differ from each other'],
  fusion_config: ['operators fused when the model is loaded'],
  pruned_heads: ['heads that were taken out'],
  configuration_files: ['another configuration file for newer versions'],
  adapters: ['adapters'],
  attention_multiplier: ['another scale of attention'],
  embedding_multiplier: ['a scale of the embeddings', 1],
  residual_multiplier: ['a scale of the residual branches', 1],
  logits_scaling: ['a scale of the logits', 1],
  logit_scale: ['a scale of the logits', 1],
  scale_emb: ['a scale of the embeddings', 1],
  scale_depth: ['a scale of the residual branches'],
  dim_model_base: ['a scale of the logits'],
  final_logit_softcapping: ['a cap on the logits'],
  attn_logit_softcapping: ['a cap on the scores of attention'],
  query_pre_attn_scalar: ['another scale of attention'],
  attn_temperature_tuning: ['a scale of attention by position'],
  attention_chunk_size: ['attention in chunks'],
  clip_qkv: ['queries, keys and values that are clipped'],
  qk_layernorm: ['norms of queries and keys'],
  use_qk_norm: ['norms of queries and keys'],
  alibi: ['positions by biases of attention'],
  position_embedding_type: ['another kind of positions', 'rotary', 'rope', 'absolute'],
  rope_interleaved: ['another layout of rotary positions'],
  use_mrope: ['rotary positions of images'],
  rope_ratio: ['another base of rotary positions', 1],
  no_rope_layers: ['layers without rotary positions'],
  parallel_attn: ['attention and MLP side by side'],
  num_experts: ['experts'],
  num_local_experts: ['experts', 1],
  n_routed_experts: ['experts'],
  moe_intermediate_size: ['experts'],
  weight_bits: ['weights that are quantised as they are used', 16, 32],
  input_bits: ['activations that are quantised', 16, 32],
  kv_lora_rank: ['keys and values of low rank'],
  q_lora_rank: ['queries of low rank'],
};

/** Words of which names of the computation are made: a field that nobody knows is refused if its name has one. */
const computation = new Set(
  words(`
    attention attn rope rotary position positions positional alibi norm layernorm rmsnorm rms qk qkv kv query queries
    softcap softcapping cap multiplier scale scales scaling scaled scalar expert experts moe router routed window windows
    sliding bias biases act activation mlp ffn ff residual embed embedding embeddings emb embd logit logits head heads layer
    layers hidden gate gated glu mask masked causal bidirectional mamba ssm conv lora rank clip sink sinks chunk chunked
    sparse parallel mup block blocks dim skip nope depth recurrent loop loops tied tie shared cross intermediate theta yarn
    ntk factor factors groups attentions interleave interleaved
  `),
);

/** Words that say of a name that it is about training or about how a library runs the model. */
const harmless = new Set(
  words(`
    dropout pdrop layerdrop init initializer std lr learning training train trained loss coef checkpointing dtype flash
    fused fuse kernel kernels implementation sdpa backend version seed token tokens id ids cache quant quantization
    tensor pipeline
  `),
);

/** Words of what every family here has: switching it off says as much as switching something on. */
const always = new Set(words('causal rope rotary rms rmsnorm glu gated residual'));

/**
 * What other families and libraries call a field that is read here, by the names that it has here. Converters leave both in
 * the file; where both say the same, the second changes nothing.
 */
const otherNames: readonly (readonly [others: string, read: string])[] = [
  ['num_layers n_layers n_layer', 'num_hidden_layers n_layer'],
  ['num_heads n_heads n_head', 'num_attention_heads n_head'],
  ['num_kv_heads n_kv_heads', 'num_key_value_heads'],
  ['n_embd dim d_model embed_dim embedding_size hidden_dim', 'hidden_size n_embd'],
  ['n_inner d_ff ffn_dim ffn_hidden_size hidden_dim', 'intermediate_size n_inner'],
  ['n_positions max_positions block_size', 'max_position_embeddings n_positions'],
  [
    'norm_eps norm_epsilon layer_norm_eps layer_norm_epsilon rms_norm_epsilon',
    'rms_norm_eps layer_norm_eps layer_norm_epsilon',
  ],
  ['rope_base rotary_base rotary_emb_base', 'rope_theta rotary_emb_base'],
  ['activation activation_function hidden_activation', 'hidden_act activation_function'],
  ['share_embedding share_embeddings tie_embeddings', 'tie_word_embeddings'],
];

const saysItAgain = (name: string, value: unknown, config: Readonly<Record<string, unknown>>): boolean =>
  otherNames.some(
    ([others, read]) =>
      words(others).includes(name) && words(read).some((own) => own !== name && config[own] === value),
  );

const wordsOf = (name: string): string[] =>
  name
    .replace(/([a-z\d])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z]+/);

const isNothing = (value: unknown): boolean =>
  value === null || value === false || value === 0 || value === '' || isEmpty(value);

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/** Why a field cannot be passed over, or null where it changes nothing. */
function objection(name: string, value: unknown): string | null {
  if (Object.hasOwn(refusedFields, name)) {
    const [says = '', ...neutral] = refusedFields[name] ?? [];
    if (neutral.includes(value)) return null;
    // transformers looks ahead where the field is there and not true: switching it off is what changes the model.
    return isNothing(value) && name !== 'is_causal' ? null : `says ${says}`;
  }
  const parts = wordsOf(name);
  if (!parts.some((part) => computation.has(part)) || parts.some((part) => harmless.has(part))) return null;
  if (value === null || isEmpty(value)) return null;
  if (isNothing(value) && !parts.some((part) => always.has(part))) return null;
  return 'is not known, and its name is one of the computation';
}

/**
 * Sorts a configuration's fields for its family.
 * @returns names of the fields that change nothing, in the file's order
 * @throws fatal `unknown-config-field` naming the first field that may change the computation
 */
export function ignoredFields(
  config: Readonly<Record<string, unknown>>,
  { understood, inert, className }: Pick<Family, 'understood' | 'inert' | 'className'>,
  file: string,
): string[] {
  const known = new Set([...understood, ...readElsewhere]);
  const nothing = new Set([...inertFields, ...inert]);
  const others = Object.entries(config).filter(([name]) => !known.has(name));
  for (const [name, value] of others) {
    const found = nothing.has(name) || saysItAgain(name, value, config) ? null : objection(name, value);
    if (found === null) continue;
    throw fatalError(
      'unknown-config-field',
      `${file}: field ${name} (${shown(value)}) ${found}; expected a ${className} as transformers builds it: export the model to ONNX to use it, or take the field out if the model does without`,
    );
  }
  return others.map(([name]) => name);
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};
