import { llama } from '#tokensieve/model/architectures/llama.js';
import { emulated } from '#tokensieve/onnx/emulate.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';
import type { StepBatch } from '#tokensieve/train/batch.js';
import { buildLossGraph } from '#tokensieve/train/graph/losses.js';
import { buildStepGraph } from '#tokensieve/train/graph/step.js';
import { dataInputs, type Objective, type StepGraphSettings } from '#tokensieve/train/graph/step-settings.js';
import { parametersOf } from '#tokensieve/train/graph/trainable-weights.js';
import { initialWeights } from '#tokensieve/train/initial-weights.js';
import { emptyVectors, type Parameter, type ParameterVectors } from '#tokensieve/train/parameters.js';
import { openTrainingSession, type TrainingSession } from '#tokensieve/train/session.js';

export const tinyLlama = {
  architectures: ['LlamaForCausalLM'],
  vocab_size: 96,
  hidden_size: 32,
  intermediate_size: 88,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
};

/** A small generator of equal draws everywhere. */
export function randoms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export interface Shape {
  readonly rows: number;
  readonly accumulate: number;
  readonly length: number;
}

/** A step of random ids; some tokens are no targets; references and weights are random. */
export function randomStep(
  shape: Shape,
  seed: number,
  weight: (draw: number) => number = (draw) => draw,
): StepBatch {
  const draw = randoms(seed);
  const count = shape.rows * shape.accumulate * shape.length;
  const eligible = Float32Array.from({ length: count }, (_, i) =>
    i % shape.length === 0 || draw() < 0.1 ? 0 : 1,
  );
  return {
    ids: Int32Array.from({ length: count }, () => Math.floor(draw() * tinyLlama.vocab_size)),
    eligible,
    referenceLoss: eligible.map((is) => (is === 1 ? 3 + 2 * draw() : Number.NaN)),
    weight: eligible.map((is) => is * weight(draw())),
    origins: [],
  };
}

export interface OpenedTraining {
  readonly session: TrainingSession;
  readonly parameters: readonly Parameter[];
  readonly first: ParameterVectors;
}

/** A session on the tiny Llama from seed 1. */
export async function openTiny(
  objective: Objective,
  shape: Shape,
  more: Partial<StepGraphSettings> & { threads?: number; scaler?: Float64Array } = {},
): Promise<OpenedTraining> {
  const decoder = llama.build(tinyLlama, 'tiny');
  const parameters = parametersOf(decoder);
  const { threads = 1, scaler, ...rest } = more;
  const settings: StepGraphSettings = {
    ...shape,
    severalSteps: false,
    attention: 'across',
    objective,
    divisor: 'weight',
    adamw: { beta1: 0.9, beta2: 0.95 },
    clip: 1,
    form: 'fused',
    ...rest,
  };
  const weights = () => initialWeights(parameters, 1, { deviation: 0.2, residualLayers: null });
  const session = await openTrainingSession({
    step: encodeModel(toModelProto(emulated(buildStepGraph(decoder, parameters, settings)))),
    losses: encodeModel(toModelProto(emulated(buildLossGraph(decoder, parameters, settings)))),
    state: {
      weights: weights(),
      firstMoment: emptyVectors(parameters),
      secondMoment: emptyVectors(parameters),
      ...(scaler !== undefined && { scaler }),
    },
    device: 'cpu',
    threads,
    shape,
    inputs: dataInputs(settings),
  });
  return { session, parameters, first: weights() };
}

/** AdamW's scalars for step s at a constant learning rate. */
export const ratesAt = (step: number, rate = 1e-2, decay = 0.1): number[] => [
  (rate * Math.sqrt(1 - 0.95 ** step)) / (1 - 0.9 ** step),
  1e-8 * Math.sqrt(1 - 0.95 ** step),
  1 - rate * decay,
  rate,
];
