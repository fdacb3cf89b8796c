import type { LossColumn } from '../dataset/sequence-batch.js';
import type { ScoreName, SelectionSettings } from './settings.js';
import type { Tokens } from './tokens.js';

/** Writes one fp32 score a token, higher is kept first. −Infinity is never kept; NaN is refused. */
export type ScoreKernel = (tokens: Tokens, out: Float32Array) => void;

/** What became of a ranking, for some tokens of one scope. Arrays are [length]. */
export interface Ranked {
  readonly scores: Float32Array;
  /** 1 for tokens whose rank lies within the ranking's bounds. */
  readonly kept: Uint8Array;
  /** Score of the last token within the bounds; +Infinity when there is none. */
  readonly cutoff: number;
}

/**
 * Writes one weight a token, finite and at least 0. `ranked` follows the plan's rankings, `fitted` is what
 * `fit.conclude` gave. Ineligible tokens get 0 afterwards, whatever is written.
 */
export type WeightKernel = (
  tokens: Tokens,
  ranked: readonly Ranked[],
  out: Float32Array,
  fitted: unknown,
) => void;

/** Tokens (or units) put in the order of a score; those with rank in [from, to) of the scope are kept. */
export interface Ranking {
  readonly score: ScoreKernel;
  /** [from, to), rank 0 being the highest score, out of the eligible tokens of the scope. */
  bounds(eligible: number): readonly [number, number];
}

/** A pass over the data before any weight is known. Observations and the result are plain data. */
export interface Fit {
  /** Reads one part, in order; parts may be observed at the same time. */
  observe(part: AsyncIterable<Tokens>): Promise<unknown>;
  /** All observations in global order. */
  conclude(observations: readonly unknown[]): unknown;
}

interface CommonPlan {
  /** Columns read; a token is eligible where they hold a loss. None: wherever any loss column does. */
  readonly columns: readonly LossColumn[];
  /** What the score is, in words or as a formula, for the output's metadata. */
  readonly score: string;
  /** Divisor of Σ w·L: the sum of the weights, or the number of eligible tokens. */
  readonly normaliser: 'weights' | 'eligible';
  /** `floor` or `ceil` does not apply where a method counts in its own way. */
  readonly usesKeep: boolean;
  readonly usesSeed: boolean;
}

/** Weights for tokens, each on its own. */
export interface TokenPlan extends CommonPlan {
  readonly unit: 'token';
  readonly rankings: readonly Ranking[];
  /** Scores that must not be equal over the whole data set, else there is nothing to select by. */
  readonly signals: readonly ScoreKernel[];
  readonly weigh: WeightKernel;
  readonly fit?: Fit;
}

/** Whole sequences or documents kept (weight 1) or dropped, by an aggregate of a score over their eligible tokens. */
export interface UnitPlan extends CommonPlan {
  readonly unit: 'sequence' | 'document';
  /** Score of a token; summed in fp64 in order, divided for `mean`, then rounded to fp32. */
  readonly tokenScore: ScoreKernel;
  readonly reduce: 'mean' | 'sum';
  /** [from, to) out of the units that have an eligible token. */
  bounds(units: number): readonly [number, number];
}

export type Plan = TokenPlan | UnitPlan;

/** A selection method: one file, one default export or one line in `methods.ts`. */
export interface Method {
  readonly name: string;
  /** Raised by hand whenever the same settings give other weights: part of the fingerprint of the output. */
  readonly version: number;
  /** One line, for --help and docs/methods.md. */
  readonly summary: string;
  /** Paper and equation, or "control". */
  readonly source: string;
  /** Settle everything that needs no data. Throws a usage error when a setting is missing or does not apply. */
  plan(settings: SelectionSettings): Plan;
  /** Values that `score` may have; none when the method has its own. The first is the default. */
  readonly scores?: readonly ScoreName[];
  /** Scope when the settings name none; `window:1048576` otherwise. */
  readonly scope?: (settings: SelectionSettings) => string;
}
