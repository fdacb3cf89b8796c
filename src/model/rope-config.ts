/**
 * Which rope parameters hold, where config.json has them in more than one place: the precedence of transformers 5,
 * which reads the files of its own versions 4 and 5 and whatever was added to them by hand.
 */
import { z } from 'zod';
import { fatalError } from '../errors.js';
import { parseConfig } from './decoder.js';
import {
  type Rope,
  type RopeParameters,
  type RopeType,
  resolveRope,
  ropeSchema,
  ropeTypeOf,
} from './rope.js';

/** Fields of config.json that hold rotary positions, whichever family. Read by `readRope`, which checks them. */
export const ropeFields = {
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.unknown().optional(),
  original_max_position_embeddings: z.unknown().optional(),
};

/** Outside of the rope parameters, under the names of the family; undefined where the file has none. */
export interface RopeOutside {
  /** What stands in for a `rope_theta` that the parameters lack; null is in the file and no number. */
  readonly theta: number | null;
  /** The same for `partial_rotary_factor`; undefined where the family has none. */
  readonly share: number | null | undefined;
}

/** The fields that are read here. */
export type RopeConfig = { readonly [Name in keyof typeof ropeFields | 'head_dim']?: unknown };

export interface RopeRequest {
  readonly config: RopeConfig;
  readonly file: string;
  readonly headSize: number;
  readonly maxPositions: number;
  readonly outside: RopeOutside;
  /** Whether a share of a head may rotate: if not, plain rope rotates all of it whatever the file says. */
  readonly partial: boolean;
}

/** Fields of rope parameters, by what they do. */
const understood = new Set(Object.keys(ropeSchema.shape));
/** Marks of fine-tuning and of other families, which transformers passes over. */
const inert = new Set(['finetuned', 'mrope_section']);
/** Frequencies are made before a tensor is looked at; the widest head of any model known has 576 entries. */
const widestHead = 65_536;

/** transformers takes `rope_scaling` before `rope_parameters`, whole, unless it is empty. */
function chosenSection(
  { rope_scaling: scaling, rope_parameters: parameters }: RopeConfig,
  file: string,
): RopeParameters {
  const empty = scaling !== null && typeof scaling === 'object' && Object.keys(scaling).length === 0;
  const [name, section] = !scaling || empty ? ['rope_parameters', parameters] : ['rope_scaling', scaling];
  if (section === undefined || section === null) return {};
  const parsed = parseConfig(z.looseObject({ [name]: ropeSchema }), { [name]: section }, file)[name] ?? {};
  for (const [key, value] of Object.entries(parsed)) {
    if (understood.has(key) || inert.has(key) || value === null) continue;
    if (key === 'attn_factor') throw attnFactor(`${file}: field ${name}.${key}`);
    throw fatalError(
      'unknown-config-field',
      `${file}: field ${name}.${key} is not one that rotary positions of this family have; expected ${[...understood].join(', ')}: ` +
        (typeof value === 'object'
          ? 'rope parameters a layer type are not known here, export the model to ONNX'
          : 'take it out if it changes nothing, or export the model to ONNX'),
    );
  }
  return parsed;
}

/** DeepSeek's distillations of Qwen3 have it, and the libraries that people compare differ in it. */
const attnFactor = (field: string): Error =>
  fatalError(
    'unknown-config-field',
    `${field} is passed over by transformers, while vLLM multiplies yarn's scale of cos and sin with it, and which is meant cannot be told; expected attention_factor, the whole scale: ` +
      'take attn_factor out to compute as transformers, or put attention_factor = attn_factor · (0.1 · ln(factor) + 1) in its place to compute as vLLM',
  );

/** Types whose frequencies depend on the length that a model was first trained for. */
const usesOriginal: ReadonlySet<RopeType> = new Set(['llama3', 'yarn', 'longrope']);

/**
 * The rotary frequencies of a configuration.
 * @throws fatal `bad-config`, `unknown-rope-type`, `unknown-config-field`, naming the field
 */
export function readRope(request: RopeRequest): { readonly rope: Rope; readonly text: string } {
  const { config, file, maxPositions, outside } = request;
  const section = chosenSection(config, file);
  const type = ropeTypeOf(section, file);
  const theta = section.rope_theta === undefined ? outside.theta : section.rope_theta;
  if (theta === null) throw nullField(file, 'rope_theta');
  const share = section.partial_rotary_factor === undefined ? outside.share : section.partial_rotary_factor;
  const parameters = {
    ...section,
    partial_rotary_factor: share,
    ...(usesOriginal.has(type) && originalOf(config, section, file)),
  };
  const dimensions = rotaryDimensions(request, type, share);
  const rope = resolveRope({ parameters, theta, dimensions, maxPositions, file });
  const factor = section.factor ? ` ×${section.factor}` : '';
  return { rope, text: `theta ${theta}${type === 'default' ? '' : `, ${type}${factor}`}` };
}

/** The top level wins (Phi-3 keeps it there), then the parameters, then max_position_embeddings. */
function originalOf(
  config: RopeConfig,
  section: RopeParameters,
  file: string,
): { original_max_position_embeddings?: number } {
  const field = 'original_max_position_embeddings';
  const top = parseConfig(topLevel, config, file)[field];
  const value = top === undefined ? section[field] : top;
  if (value === null) throw nullField(file, field);
  return value === undefined ? {} : { [field]: value };
}

const topLevel = z.looseObject({
  original_max_position_embeddings: z.number().positive().finite().nullish(),
});

function rotaryDimensions(
  { config, file, headSize, partial }: RopeRequest,
  type: RopeType,
  share: number | null | undefined,
): number {
  if (headSize > widestHead) {
    throw fatalError(
      'bad-config',
      `${file}: a head of ${headSize} entries; expected ${widestHead} at most: fetch the checkpoint's config.json again`,
    );
  }
  if (type === 'default' && !partial) return headSize;
  if (share === null) throw nullField(file, 'the share of a head that rotates');
  if (type === 'proportional') return headSize;
  const ownHead = partial && typeof config.head_dim === 'number' ? config.head_dim : headSize;
  const dimensions = Math.trunc(ownHead * (share ?? 1));
  const turned = 2 * Math.ceil(dimensions / 2);
  if (turned >= 2 && (partial ? turned <= headSize : turned === headSize)) return dimensions;
  throw fatalError(
    'bad-config',
    `${file}: rotary positions for ${dimensions} of the ${headSize} entries of a head; expected ${partial ? `1 to ${headSize}` : `all ${headSize}, as transformers computes this family`}: check partial_rotary_factor`,
  );
}

const nullField = (file: string, field: string): Error =>
  fatalError(
    'bad-config',
    `${file}: ${field} is null; expected a number, or no such field: transformers cannot build the model either`,
  );
