/** What a training graph is built for, and its inputs beside the state. */
import type { Decoder } from '../../model/decoder.js';
import type { TensorType, Value } from '../../onnx/graph.js';
import type { Parameter, ParameterGroup } from '../parameters.js';
import type { AdamWConstants } from './adamw.js';
import type { MicroShape } from './micro-step.js';
import type { RankingRule } from './ranking.js';

/** Where a step's token weights come from. */
export type Objective =
  | { readonly kind: 'clm' }
  /** The input `weight`. */
  | { readonly kind: 'frozen' }
  /** Ranked by own loss minus the input `reference_loss`. */
  | {
      readonly kind: 'live';
      readonly scope: 'sequence' | 'microbatch' | 'step';
      readonly rule: RankingRule;
    };

export interface StepGraphSettings extends MicroShape {
  /** A: micro-batches a step. */
  readonly accumulate: number;
  /** K: steps a call. */
  readonly steps: number;
  readonly attention: 'across' | 'within';
  readonly objective: Objective;
  /** What Σ w·L is divided by: Σ w, or the number of eligible tokens (`dft`). */
  readonly divisor: 'weight' | 'eligible';
  readonly adamw: AdamWConstants;
  /** Largest global norm of the gradient. */
  readonly clip: number;
  /** `plain` attention for devices without the fused float32 operator. */
  readonly form: 'fused' | 'plain';
}

/** Inputs of a step's data: [K, A, B, T] each. */
export const dataInputs = (settings: StepGraphSettings): readonly (readonly [string, TensorType])[] => [
  ['ids', 'int32'],
  ['eligible', 'float32'],
  ...(settings.objective.kind === 'frozen' ? [['weight', 'float32'] as const] : []),
  ...(settings.objective.kind === 'live' ? [['reference_loss', 'float32'] as const] : []),
  ...(settings.attention === 'within'
    ? [['positions', 'int32'] as const, ['documents', 'int32'] as const]
    : []),
];

/** Values by the names of `dataInputs`. */
export type Data = ReadonlyMap<string, Value>;

/** What every piece of one training graph needs to know. */
export interface StepContext {
  readonly decoder: Decoder;
  readonly parameters: readonly Parameter[];
  readonly has: (name: string) => boolean;
  readonly settings: StepGraphSettings;
  readonly lengths: Readonly<Record<ParameterGroup, number>>;
}
