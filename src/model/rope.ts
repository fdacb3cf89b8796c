/** Rotary frequencies by the rules of Hugging Face transformers: one function a rope type. */
import { z } from 'zod';
import { fatalError } from '../errors.js';

const positive = z.number().positive().finite();
const any = z.number().finite();
const factors = z.array(positive).min(1).max(8192);

/**
 * `rope_scaling` of older configurations, `rope_parameters` of newer ones. Where transformers takes a null, so does
 * this; a type that is null is one that it does not know.
 */
export const ropeSchema = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: positive.nullish(),
  factor: positive.nullish(),
  partial_rotary_factor: z.number().min(0).max(1).nullish(),
  original_max_position_embeddings: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  attention_factor: any.nullish(),
  beta_fast: z.number().min(0).nullish(),
  beta_slow: z.number().min(0).nullish(),
  mscale: any.nullish(),
  mscale_all_dim: any.nullish(),
  truncate: z.boolean().nullish(),
  short_factor: factors.nullish(),
  long_factor: factors.nullish(),
});
export type RopeParameters = z.infer<typeof ropeSchema>;

export interface Rope {
  /** Radians a position, one for each pair of rotated entries of a head. */
  readonly frequencies: Float64Array;
  /** Multiplies cos and sin (1 but for yarn and longrope). */
  readonly scale: number;
  /**
   * Longest row, in tokens, that these frequencies are right for; null for any that the model takes. longrope takes
   * other frequencies for longer rows, by each row's own length: a graph for padded batches cannot tell it.
   */
  readonly longestRow: number | null;
}

export interface RopeSource {
  readonly parameters: RopeParameters;
  readonly theta: number;
  /** Entries of a head that rotate; odd ones are rounded up. */
  readonly dimensions: number;
  readonly maxPositions: number;
  /** For messages. */
  readonly file: string;
}

const kinds = {
  default: (source) => plain(baseOf(source)),
  // Equal to `default` up to max_position_embeddings, which bounds every row here.
  dynamic: (source) => {
    required(source, 'factor');
    return plain(baseOf(source));
  },
  linear: (source) => {
    const factor = required(source, 'factor');
    return plain(baseOf(source).map((frequency) => frequency / factor));
  },
  llama3: (source) => plain(llama3(source)),
  yarn: (source) => yarn(source),
  longrope: (source) => longrope(source),
  proportional: (source) => plain(proportional(source)),
} as const satisfies Record<string, (source: RopeSource) => Rope>;

export type RopeType = keyof typeof kinds;

export const ropeTypes = Object.keys(kinds) as readonly RopeType[];

const isRopeType = (type: string): type is RopeType => Object.hasOwn(kinds, type);

/** `rope_type`, or `type` where that is absent; `default` where both are. @throws fatal `unknown-rope-type` */
export function ropeTypeOf(parameters: RopeParameters, file: string): RopeType {
  const type = parameters.rope_type === undefined ? parameters.type : parameters.rope_type;
  if (type === undefined) return 'default';
  if (type !== null && isRopeType(type)) return type;
  const hint =
    type === 'su'
      ? 'su is the older name of longrope, which transformers reads only for other families; rename it if that is what is meant'
      : 'export the model to ONNX to use it';
  throw fatalError(
    'unknown-rope-type',
    `${file}: rope type ${JSON.stringify(type)} is not known; expected one of ${ropeTypes.join(', ')}: ${hint}`,
  );
}

/**
 * Frequencies of a rope type (su's name, longrope, included), for rows of up to `longestRow` tokens.
 * @throws fatal `unknown-rope-type`, `bad-config`.
 */
export function resolveRope(source: RopeSource): Rope {
  return kinds[ropeTypeOf(source.parameters, source.file)](source);
}

const plain = (frequencies: Float64Array): Rope => ({ frequencies, scale: 1, longestRow: null });

const baseOf = ({ theta, dimensions }: RopeSource): Float64Array =>
  Float64Array.from({ length: Math.ceil(dimensions / 2) }, (_, i) => theta ** ((-2 * i) / dimensions));

function required(source: RopeSource, field: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number {
  const value = source.parameters[field];
  if (typeof value === 'number') return value;
  throw unusable(source, `have no ${field}`, 'a number');
}

const unusable = (source: RopeSource, found: string, expected: string): Error =>
  fatalError(
    'bad-config',
    `${source.file}: the rope parameters ${found}; expected ${expected}: fetch the checkpoint's config.json again`,
  );

const originalOf = ({ parameters, maxPositions }: RopeSource): number =>
  parameters.original_max_position_embeddings ?? maxPositions;

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
function llama3(source: RopeSource): Float64Array {
  const factor = required(source, 'factor');
  const low = required(source, 'low_freq_factor');
  const high = required(source, 'high_freq_factor');
  if (high === low) throw unusable(source, `have equal low_freq_factor and high_freq_factor`, 'two numbers');
  const original = originalOf(source);
  return baseOf(source).map((frequency) => {
    const turns = (original * frequency) / (2 * Math.PI);
    if (turns < low) return frequency / factor;
    if (turns > high) return frequency;
    const blend = (turns - low) / (high - low);
    return ((1 - blend) * frequency) / factor + blend * frequency;
  });
}

/** YaRN (Peng et al. 2023, arXiv 2309.00071), with the options that transformers reads. */
function yarn(source: RopeSource): Rope {
  const { parameters, theta, dimensions, maxPositions } = source;
  if (parameters.factor === undefined) throw unusable(source, 'have no factor', 'a number');
  if (dimensions % 2 !== 0)
    throw unusable(source, `are of yarn for ${dimensions} entries of a head`, 'an even number');
  const original = originalOf(source);
  const factor = parameters.factor ?? maxPositions / original;
  const correction = (rotations: number): number =>
    (dimensions * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  // A null is not the default here: transformers reads it as false.
  const truncate = parameters.truncate === undefined || parameters.truncate === true;
  const lowest = correction(parameters.beta_fast || 32);
  const highest = correction(parameters.beta_slow || 1);
  const low = Math.max(truncate ? Math.floor(lowest) : lowest, 0);
  const end = Math.min(truncate ? Math.ceil(highest) : highest, dimensions - 1);
  const high = end === low ? end + 0.001 : end;
  const frequencies = baseOf(source).map((frequency, index) => {
    const interpolated = Math.min(1, Math.max(0, (index - low) / (high - low)));
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
  const scale = parameters.attention_factor ?? yarnScale(parameters, factor);
  return { frequencies, scale, longestRow: null };
}

function yarnScale({ mscale, mscale_all_dim: allDimensions }: RopeParameters, factor: number): number {
  const scaleOf = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  if (mscale && allDimensions) return scaleOf(mscale) / scaleOf(allDimensions);
  return scaleOf(1);
}

/**
 * LongRoPE (Ding et al. 2024, arXiv 2402.13753): every frequency is divided by its own factor, from the short list
 * for rows of up to the original length and from the long one beyond. The scale is the same for both.
 */
function longrope(source: RopeSource): Rope {
  const { parameters, maxPositions } = source;
  const base = baseOf(source);
  const list = (field: 'short_factor' | 'long_factor'): readonly number[] => {
    const found = parameters[field];
    if (found?.length === base.length) return found;
    throw unusable(
      source,
      found ? `have ${found.length} numbers in ${field}` : `have no ${field}`,
      `${base.length} numbers`,
    );
  };
  const [short, long] = [list('short_factor'), list('long_factor')];
  const original = originalOf(source);
  const factor = parameters.factor ?? maxPositions / original;
  const scale = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const same = short.every((value, index) => value === long[index]);
  return {
    frequencies: base.map((frequency, index) => frequency / (short[index] ?? 1)),
    scale: parameters.attention_factor ?? scale,
    longestRow: same || original >= maxPositions ? null : original,
  };
}

/** The first share of the pairs rotates, by exponents of the whole head; the others stand still. */
function proportional(source: RopeSource): Float64Array {
  const { parameters, theta, dimensions } = source;
  const turning = Math.floor(((parameters.partial_rotary_factor ?? 1) * dimensions) / 2);
  const factor = parameters.factor ?? 1;
  return Float64Array.from({ length: dimensions / 2 }, (_, i) =>
    i < turning ? theta ** ((-2 * i) / dimensions) / factor : 0,
  );
}
