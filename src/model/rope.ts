/** Rotary frequencies from a checkpoint's configuration, by the rules of Hugging Face transformers. */
import { z } from 'zod';
import { fatalError } from '../errors.js';

const positive = z.number().positive().finite();

/** `rope_scaling` of older configurations, `rope_parameters` of newer ones. */
export const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: positive.nullish(),
  factor: positive.nullish(),
  partial_rotary_factor: positive.max(1).nullish(),
  original_max_position_embeddings: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  attention_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().nullish(),
});
export type RopeParameters = z.infer<typeof ropeSchema>;

export interface Rope {
  /** Radians a position, one for each pair of rotated entries of a head. */
  readonly frequencies: Float64Array;
  /** Multiplies cos and sin (1 but for yarn). */
  readonly scale: number;
}

/** Config fields that all rotary architectures share. */
export const ropeFields = {
  rope_theta: positive.nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
};

export interface RopeSource {
  readonly parameters: RopeParameters;
  readonly theta: number;
  /** Entries of a head that rotate: even. */
  readonly dimensions: number;
  readonly maxPositions: number;
  /** For messages. */
  readonly file: string;
}

/**
 * Frequencies of `default`, `linear`, `llama3` and `yarn` scaling. `dynamic` equals `default` up to
 * max_position_embeddings, which bounds every sequence here.
 * @throws fatal `unknown-rope-type`, `bad-config`.
 */
export function resolveRope(source: RopeSource): Rope {
  const { parameters, theta, dimensions } = source;
  const type = parameters.rope_type ?? parameters.type ?? 'default';
  const base = Float64Array.from({ length: dimensions / 2 }, (_, i) => theta ** ((-2 * i) / dimensions));
  switch (type) {
    case 'default':
    case 'dynamic':
      return { frequencies: base, scale: 1 };
    case 'linear': {
      const factor = required(source, 'factor');
      return { frequencies: base.map((frequency) => frequency / factor), scale: 1 };
    }
    case 'llama3':
      return { frequencies: llama3(source, base), scale: 1 };
    case 'yarn':
      return yarn(source, base);
    default:
      throw fatalError(
        'unknown-rope-type',
        `${source.file}: rope type ${JSON.stringify(type)} is not known; expected default, linear, dynamic, ` +
          'llama3 or yarn: export the model to ONNX to use it',
      );
  }
}

function required(
  source: RopeSource,
  field: 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings',
): number {
  const value = source.parameters[field];
  if (typeof value === 'number') return value;
  throw fatalError(
    'bad-config',
    `${source.file}: the rope parameters have no ${field}; expected a number: fetch the checkpoint's config.json again`,
  );
}

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
function llama3(source: RopeSource, base: Float64Array): Float64Array {
  const factor = required(source, 'factor');
  const low = required(source, 'low_freq_factor');
  const high = required(source, 'high_freq_factor');
  const original = source.parameters.original_max_position_embeddings ?? source.maxPositions;
  return base.map((frequency) => {
    const turns = (original * frequency) / (2 * Math.PI);
    if (turns < low) return frequency / factor;
    if (turns > high) return frequency;
    const blend = (turns - low) / (high - low);
    return ((1 - blend) * frequency) / factor + blend * frequency;
  });
}

/** YaRN (Peng et al. 2023, arXiv 2309.00071), with the options that transformers reads. */
function yarn(source: RopeSource, base: Float64Array): Rope {
  const { parameters, theta, dimensions } = source;
  const original = required(source, 'original_max_position_embeddings');
  const factor = parameters.factor ?? source.maxPositions / original;
  const correction = (rotations: number): number =>
    (dimensions * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = parameters.truncate ?? true;
  const lowest = correction(parameters.beta_fast ?? 32);
  const highest = correction(parameters.beta_slow ?? 1);
  const low = Math.max(truncate ? Math.floor(lowest) : lowest, 0);
  const end = Math.min(truncate ? Math.ceil(highest) : highest, dimensions - 1);
  const high = end === low ? end + 0.001 : end;
  const frequencies = base.map((frequency, index) => {
    const interpolated = Math.min(1, Math.max(0, (index - low) / (high - low)));
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
  return { frequencies, scale: parameters.attention_factor ?? yarnScale(parameters, factor) };
}

function yarnScale({ mscale, mscale_all_dim: allDimensions }: RopeParameters, factor: number): number {
  const scaleOf = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  if (mscale && allDimensions) return scaleOf(mscale) / scaleOf(allDimensions);
  return scaleOf(1);
}
