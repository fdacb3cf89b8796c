/** The trainer's own session and records, run on the goldens' data instead of a folder's. */
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import type { Precision } from '#tokensieve/model/prepared-model.js';
import { emulated } from '#tokensieve/onnx/emulate.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';
import type { StepBatch } from '#tokensieve/train/batch.js';
import { SCALER } from '#tokensieve/train/graph/loss-scale.js';
import { buildStepGraph } from '#tokensieve/train/graph/step.js';
import {
  dataInputs,
  floatTypes,
  type Objective,
  SCALING,
  type StepGraphSettings,
} from '#tokensieve/train/graph/step-settings.js';
import { parametersOf } from '#tokensieve/train/graph/trainable-weights.js';
import { loadWeights } from '#tokensieve/train/load-weights.js';
import {
  emptyVectors,
  PARAMETER_GROUPS,
  type Parameter,
  type TrainerState,
} from '#tokensieve/train/parameters.js';
import { learningRate, stepRates } from '#tokensieve/train/schedule.js';
import { openTrainingSession } from '#tokensieve/train/session.js';
import type { StepMetrics } from '#tokensieve/train/step-metrics.js';
import { recordOf, sumsAt } from '#tokensieve/train/step-record.js';
import {
  type Batches,
  KEEP_PPM,
  type ObjectiveName,
  OPTIMIZER,
  SCHEDULE,
  within,
} from './training-golden.js';

export interface GoldenTraining {
  readonly parameters: readonly Parameter[];
  /** After the first step, and after the last. */
  readonly first: TrainerState;
  readonly last: TrainerState;
  readonly records: readonly StepMetrics[];
}

/** Trains the checkpoint in `folder` on all batches: one step in a call of its own, all others in a second. */
export async function trainOnGoldens(
  folder: string,
  batches: Batches,
  name: ObjectiveName,
  clip: number,
  precision: Precision = 'fp32',
): Promise<GoldenTraining> {
  const checkpoint = await openCheckpoint(folder);
  const parameters = parametersOf(checkpoint.decoder);
  const [steps, accumulate, rows, length] = batches.shape;
  const attention = name === 'clm-within' ? 'within' : 'across';
  const divisor = name === 'frozen-eligible' ? 'eligible' : 'weight';
  const shape = { accumulate, rows, length };
  const settings = {
    ...shape,
    severalSteps: true,
    attention,
    objective: objectiveOf(name),
    divisor,
    adamw: OPTIMIZER,
    clip,
    ...computedIn(precision),
  } as const;
  const weights = emptyVectors(parameters);
  const loaded = await loadWeights(checkpoint, parameters);
  for (const group of PARAMETER_GROUPS) weights[group].set(loaded[group]);
  const session = await openTrainingSession({
    step: encodeModel(toModelProto(emulated(buildStepGraph(checkpoint.decoder, parameters, settings)))),
    losses: null,
    state: {
      weights,
      firstMoment: emptyVectors(parameters),
      secondMoment: emptyVectors(parameters),
      ...(precision === 'fp16' && { scaler: firstScaler() }),
    },
    device: 'cpu',
    threads: 1,
    shape,
    inputs: dataInputs(settings),
  });
  const all = stepBatches(attention === 'within' ? within(batches) : batches);
  const rates = Float32Array.from(
    all.flatMap((_, index) => stepRates(index + 1, steps, SCHEDULE, { ...OPTIMIZER, clip })),
  );
  const width = rates.length / steps;
  try {
    const one = await session.step(all.slice(0, 1), rates.slice(0, width));
    const first = await session.state();
    const others = await session.step(all.slice(1), rates.slice(width));
    const last = await session.state();
    const metrics = Float64Array.of(...one, ...others);
    const records = all.map((_, index) =>
      recordOf(
        sumsAt(metrics, index),
        divisor,
        {
          step: index + 1,
          tokens: 0,
          learning_rate: learningRate(index + 1, steps, SCHEDULE, OPTIMIZER.learning_rate),
          seconds: 0,
          tokens_per_second: 0,
        },
        precision === 'fp16',
      ),
    );
    return { parameters, first, last, records };
  } finally {
    await session.close();
  }
}

/** What a graph that trains in a precision is built with. */
export const computedIn = (precision: Precision): Pick<StepGraphSettings, 'form' | 'float' | 'scaling'> =>
  precision === 'fp32'
    ? { form: 'fused' }
    : {
        form: 'grouped',
        float: floatTypes[precision],
        ...(precision === 'fp16' && { scaling: { ...SCALING, epsilon: OPTIMIZER.epsilon } }),
      };

export const firstScaler = (scale = 2 ** 16): Float64Array =>
  Float64Array.from(SCALER, (name) => (name === 'loss_scale' ? scale : 0));

function objectiveOf(name: ObjectiveName): Objective {
  if (name.startsWith('live-')) {
    const scope = name.slice('live-'.length) as 'sequence' | 'microbatch' | 'step';
    return { kind: 'live', scope, rule: { keepPpm: KEEP_PPM, rounding: 'floor' } };
  }
  return { kind: name.startsWith('frozen') ? 'frozen' : 'clm' };
}

function stepBatches(batches: Batches): StepBatch[] {
  const [steps, ...rest] = batches.shape;
  const size = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length: steps }, (_, step) => {
    const own = <T extends Int32Array | Float32Array>(column: T): T =>
      column.slice(step * size, (step + 1) * size) as T;
    return {
      ids: own(batches.ids),
      eligible: own(batches.eligible),
      referenceLoss: own(batches.referenceLoss),
      weight: own(batches.weight),
      ...(batches.positions && {
        positions: own(batches.positions),
        documents: own(batches.documents),
      }),
      origins: [],
    };
  });
}
