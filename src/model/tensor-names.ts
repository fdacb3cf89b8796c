/**
 * Which tensor of a checkpoint's files is which parameter. As transformers 5.24 loads them: a name may have the base
 * model's prefix or lack it, one by one, and a family's head may have had another name.
 */
import type { DecoderNames } from './decoder.js';

/** Names that a parameter may have in a file: its own, and with the base model's prefix put before it or taken away. */
export function namesInFiles(names: DecoderNames, parameter: string): string[] {
  const prefix = `${names.base}.`;
  const own = [
    parameter,
    ...(parameter === names.head && names.otherHead !== undefined ? [names.otherHead] : []),
  ];
  return own.flatMap((name) => [
    name,
    prefix + name,
    ...(name.startsWith(prefix) ? [name.slice(prefix.length)] : []),
  ]);
}

/**
 * Buffers that older versions of transformers saved. They follow from config.json, and no version reads them back.
 * Masks are of rank 4 or a single number, which tells GPT-2's `attn.bias` from a projection's.
 */
export function isBuffer(name: string, shape: readonly number[]): boolean {
  if (/(^|\.)rotary_emb\.(inv_freq|cos_cached|sin_cached)$|(^|\.)position_ids$/.test(name)) return true;
  const masks = /(^|\.)(attn|attention)\.(bias|masked_bias)$/;
  return masks.test(name) && (shape.length === 4 || shape.length === 0 || shape.join() === '1');
}

/** Names that PEFT gives the tensors of an adapter, and those of the model around it. */
export const isAdapterTensor = (name: string): boolean =>
  /\.(lora_[A-Z]\w*|lora_magnitude_vector|lora_embedding_[AB]|ia3_l|hada_w\d\w*|lokr_w\d\w*|oft_\w+|base_layer|modules_to_save|original_module)(\.|$)|^(base_model\.model\.|prompt_embeddings$)/.test(
    name,
  );
