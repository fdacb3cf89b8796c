import type { Config } from './checkpoint.js';
import type { Row } from './layers.js';

export interface Rope {
  /** Angle a position, one a pair of dimensions. */
  readonly frequencies: readonly number[];
  /** Factor on cos and sin (YaRN's attention factor). */
  readonly scale: number;
}

/** Both spellings: `rope_parameters` (transformers 5) and `rope_theta` beside `rope_scaling` (before). */
export function readRope(config: Config, dimensions: number, theta: number): Rope {
  const scaling = config.section(config.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling');
  const base = scaling.number('rope_theta', theta);
  const type = scaling.text('rope_type', scaling.text('type', 'default'));
  const plain = Array.from({ length: dimensions / 2 }, (_, i) => base ** ((-2 * i) / dimensions));
  if (type === 'default') return { frequencies: plain, scale: 1 };
  const factor = scaling.number('factor');
  if (type === 'linear') return { frequencies: plain.map((f) => f / factor), scale: 1 };
  const original = scaling.number('original_max_position_embeddings');
  if (type === 'llama3')
    return { frequencies: plain.map((f) => llama3(f, factor, original, scaling)), scale: 1 };
  if (type === 'yarn') return yarn(plain, base, factor, original, dimensions);
  throw new Error(`rope type ${type}`);
}

/** Llama 3.1: long waves are stretched, short ones kept, those between interpolated. */
function llama3(frequency: number, factor: number, original: number, scaling: Config): number {
  const low = scaling.number('low_freq_factor');
  const high = scaling.number('high_freq_factor');
  const turns = (original * frequency) / (2 * Math.PI);
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const smooth = (turns - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** YaRN (arXiv 2309.00071) with its defaults: beta 32 and 1, attention factor 0.1 ln(s) + 1. */
function yarn(
  plain: readonly number[],
  base: number,
  factor: number,
  original: number,
  dimensions: number,
): Rope {
  const dimensionOf = (turns: number): number =>
    (dimensions * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const low = Math.max(Math.floor(dimensionOf(32)), 0);
  const high = Math.min(Math.ceil(dimensionOf(1)), dimensions - 1);
  const frequencies = plain.map((f, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
    return (1 - ramp) * f + (ramp * f) / factor;
  });
  return { frequencies, scale: 0.1 * Math.log(factor) + 1 };
}

/** Rotates the pair (i, i + half) of each head's first `2 · half` dimensions: the Hugging Face layout. */
export function rotate(x: Row, position: number, headSize: number, rope: Rope): Row {
  const half = rope.frequencies.length;
  const y = Float64Array.from(x);
  for (let head = 0; head < x.length; head += headSize) {
    rope.frequencies.forEach((frequency, i) => {
      const cos = Math.cos(position * frequency) * rope.scale;
      const sin = Math.sin(position * frequency) * rope.scale;
      const a = x[head + i]!;
      const b = x[head + half + i]!;
      y[head + i] = a * cos - b * sin;
      y[head + half + i] = b * cos + a * sin;
    });
  }
  return y;
}
