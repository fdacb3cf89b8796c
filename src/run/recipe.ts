import { readFileSync } from 'node:fs';
import { arch } from 'node:os';
import type { Pipeline } from '../config/pipeline.js';
import type { JsonObject } from '../dataset/canonical-json.js';
import type { Device, ModelInfo } from '../model/prepared-model.js';
import type { ModelRole } from '../score/scorer.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/**
 * Versions of what each stage means, raised by hand when a stage would write other bytes for the same input.
 * Not the package version: a patch release must not discard finished work.
 */
export const SEMANTICS = { reading: 1, tokenizing: 1, packing: 1, scoring: 1, writing: 1 } as const;

/** What makes losses comparable bit for bit. One run never mixes two. */
export interface NumericProfile {
  readonly provider: Device;
  readonly precision: 'fp32' | 'fp16' | 'bf16';
  /** Runtime and its version. */
  readonly runtime: string;
  /** Instruction set that the CPU kernels are chosen by; on a GPU it changes nothing. */
  readonly processor?: string;
}

/** Everything but the input that determines the bytes of a scored part, as plain JSON. */
export type Recipe = JsonObject;

/** Pure: settings and hashes in, the object that is fingerprinted out. How a run is carried out stays outside. */
export function recipeOf(
  pipeline: Pipeline,
  tokenizer: Pick<Tokenizer, 'hash' | 'bosId' | 'eosId'>,
  models: Readonly<Partial<Record<ModelRole, ModelInfo>>>,
  profile: NumericProfile,
): Recipe {
  const { device: _, ...score } = pipeline.score;
  return {
    semantics: SEMANTICS,
    corpus: pipeline.corpus,
    tokenizer: {
      hash: tokenizer.hash,
      bos_id: tokenizer.bosId,
      eos_id: tokenizer.eosId,
      control_tokens: pipeline.tokenizer.control_tokens,
    },
    sequence: { ...pipeline.sequence, overlap: overlapOf(pipeline) },
    models: {
      reference: models.reference?.hash ?? null,
      current: models.current?.hash ?? null,
    },
    score,
    numeric_profile: profile,
  };
}

/** Context that windows of a long document repeat: a quarter of the length unless it is set. */
export function overlapOf(pipeline: Pipeline): number {
  return pipeline.sequence.overlap ?? Math.max(1, pipeline.sequence.length >> 2);
}

/** The conventions on which implementations disagree, for the files' metadata (docs/conventions.md). */
export function scoringConventions(pipeline: Pipeline): JsonObject {
  return {
    loss: 'nats; entry i belongs to token i, given the tokens before it in its row; NaN where there is none',
    packing: pipeline.sequence.packing,
    attention: pipeline.sequence.attention,
    row_stride: pipeline.sequence.packing === 'packed' ? pipeline.sequence.length - 1 : null,
    overlap: pipeline.sequence.packing === 'document' ? overlapOf(pipeline) : null,
    bos_eligible: false,
    eos_eligible: pipeline.sequence.eos_eligible,
  };
}

/** The numeric profile of this machine for a device. */
export function numericProfile(device: Device, runtimeVersion: string): NumericProfile {
  const runtime = `onnxruntime ${runtimeVersion}`;
  return device === 'cpu'
    ? { provider: device, precision: 'fp32', runtime, processor: processorLevel() }
    : { provider: device, precision: 'fp32', runtime };
}

/** `x64 avx512`, `x64 avx2`, `arm64`: the CPU kernels, and with them the last bits, differ between these. */
export function processorLevel(): string {
  const level = (flags: string): string =>
    flags.includes(' avx512f') ? ' avx512' : flags.includes(' avx2') ? ' avx2' : '';
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return arch() + level(flags);
  } catch {
    return arch();
  }
}
