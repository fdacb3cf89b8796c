/** Whole optimiser steps over random rows: forward, backward, clipping, AdamW. Needs a built dist/. */
import { emulated } from '../../dist/onnx/emulate.js';
import { encodeModel, toModelProto } from '../../dist/onnx/proto.js';
import { SCALER } from '../../dist/train/graph/loss-scale.js';
import { buildStepGraph } from '../../dist/train/graph/step.js';
import { dataInputs, floatTypes, SCALING } from '../../dist/train/graph/step-settings.js';
import { emptyVectors } from '../../dist/train/parameters.js';
import { openTrainingSession } from '../../dist/train/session.js';

/** Every token, and the 60% of highest excess loss ranked live over the step. */
export const OBJECTIVES = {
  clm: { kind: 'clm' },
  live: { kind: 'live', scope: 'step', rule: { keepPpm: 600_000, rounding: 'floor' } },
};

/**
 * @param model as `openTrainingModel` gives it
 * @param {{ objective: 'clm' | 'live', rows: number, length: number, accumulate: number }} shape
 * @param {{ device: string, threads: number, precision?: 'fp32' | 'fp16' | 'bf16' }} machine 16 bits are emulated on a CPU
 * @returns `batch` makes random data of one step; `step` takes a step on it and gives its metrics
 */
export async function openTrainingStep(
  model,
  { objective, rows, length, accumulate },
  { device, threads, precision = 'fp32' },
) {
  const { decoder, parameters } = model;
  const settings = {
    ...{ rows, accumulate, length, severalSteps: false, attention: 'across', divisor: 'weight', clip: 1 },
    ...{ objective: OBJECTIVES[objective], adamw: { beta1: 0.9, beta2: 0.95 } },
    ...(precision === 'fp32'
      ? { form: device === 'cpu' ? 'fused' : 'plain' }
      : { form: 'grouped', float: floatTypes[precision] }),
    ...(precision === 'fp16' && { scaling: { ...SCALING, epsilon: 1e-8 } }),
  };
  const built = buildStepGraph(decoder, parameters, settings);
  const session = await openTrainingSession({
    step: encodeModel(toModelProto(device === 'cpu' ? emulated(built) : built)),
    losses: null,
    state: {
      weights: await model.initialWeights(),
      firstMoment: emptyVectors(parameters),
      secondMoment: emptyVectors(parameters),
      ...(precision === 'fp16' && {
        scaler: Float64Array.from(SCALER, (name) => (name === 'loss_scale' ? 2 ** 16 : 0)),
      }),
    },
    device,
    threads,
    shape: settings,
    inputs: dataInputs(settings),
  });
  const count = rows * accumulate * length;
  let taken = 0;
  return {
    batch: () => ({
      ids: Int32Array.from({ length: count }, () => Math.floor(Math.random() * decoder.vocabularySize)),
      eligible: Float32Array.from({ length: count }, (_, i) => (i % length === 0 ? 0 : 1)),
      referenceLoss: Float32Array.from({ length: count }, () => 8 * Math.random()),
      weight: null,
      origins: [],
    }),
    step(batch) {
      taken++;
      const rate = 1e-5;
      const root = Math.sqrt(1 - 0.95 ** taken);
      const rates = [(rate * root) / (1 - 0.9 ** taken), 1e-8 * root, 1 - rate * 0.1, rate];
      return session.step([batch], Float32Array.from(rates));
    },
    close: () => session.close(),
  };
}
