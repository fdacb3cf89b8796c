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
  /** A call takes K steps, any number; else one. */
  readonly severalSteps: boolean;
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

/** One input of a step's data, [K, A, B, T], and the column of a batch that fills it. */
export interface DataInput {
  readonly name: string;
  readonly type: TensorType;
  readonly column: 'ids' | 'eligible' | 'weight' | 'referenceLoss' | 'positions' | 'documents';
  /** The forward pass alone reads it too. */
  readonly forward: boolean;
}

/** Inputs of the graphs beside state and rates. */
export function dataInputs({
  objective,
  attention,
}: Pick<StepGraphSettings, 'objective' | 'attention'>): DataInput[] {
  const inputs: DataInput[] = [
    { name: 'ids', type: 'int32', column: 'ids', forward: true },
    { name: 'eligible', type: 'float32', column: 'eligible', forward: false },
  ];
  if (objective.kind === 'frozen') {
    inputs.push({ name: 'weight', type: 'float32', column: 'weight', forward: false });
  }
  if (objective.kind === 'live') {
    inputs.push({ name: 'reference_loss', type: 'float32', column: 'referenceLoss', forward: false });
  }
  if (attention === 'within') {
    inputs.push({ name: 'positions', type: 'int32', column: 'positions', forward: true });
    inputs.push({ name: 'documents', type: 'int32', column: 'documents', forward: true });
  }
  return inputs;
}

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
