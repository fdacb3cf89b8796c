/** What a training graph is built for, and its inputs beside the state. */
import type { Decoder } from '../../model/decoder.js';
import type { Precision } from '../../model/prepared-model.js';
import type { FloatType } from '../../numbers/fp16-bf16.js';
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
  /** `plain` attention for devices without the fused float32 operator; `grouped` in 16 bits. */
  readonly form: 'fused' | 'plain' | 'grouped';
  /** What forward and backward of the body compute in; default float32. */
  readonly float?: FloatType;
  /** Scale the loss, and skip steps that overflow: for float16. */
  readonly scaling?: ScalingRule;
}

/** How a loss scale is moved (Micikevicius et al. 2018), and what AdamW needs that counts its own steps. */
export interface ScalingRule {
  /** Good steps in a row after which the scale doubles. */
  readonly growEvery: number;
  readonly min: number;
  readonly max: number;
  /** AdamW's ε. */
  readonly epsilon: number;
}

/** As `torch.amp.GradScaler` has it, and bounds: below 1 gradients are lost that float16 could hold. */
export const SCALING = { growEvery: 2000, min: 1, max: 2 ** 24 } as const;

export const floatTypes = {
  fp32: 'float32',
  fp16: 'float16',
  bf16: 'bfloat16',
} as const satisfies Record<Precision, FloatType>;

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
  readonly settings: StepGraphSettings;
  readonly lengths: Readonly<Record<ParameterGroup, number>>;
}
