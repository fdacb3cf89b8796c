/**
 * Whole optimiser steps: every token (clm), and the 60% of highest excess loss ranked live over the step.
 *
 * A step is c + A·m seconds: A micro-batches, and what comes once a step (the state crosses the bus both ways, clipping,
 * AdamW). Two short steps give c and m; then a whole step of `stepTokens` is taken if the time left allows, and is
 * predicted otherwise. The bus alone is measured by a graph that only negates a vector of the state's size.
 */

import { availableParallelism } from 'node:os';
import * as ort from 'onnxruntime-node';
import { GraphBuilder } from '../../../dist/onnx/graph.js';
import { encodeModel, toModelProto } from '../../../dist/onnx/proto.js';
import { STEP_METRICS } from '../../../dist/train/graph/step.js';
import { openTrainingModel } from '../../../dist/train/model.js';
import { peakRss } from '../../support/measure.mjs';
import { OBJECTIVES, openTrainingStep } from '../../support/training-step.mjs';

export async function train(job, { watch, emit, checkpoints, tokenizer, timeLeft, shares }) {
  const folders = await checkpoints(job.size);
  const start = { start: folders.reference, tokenizer: await tokenizer(), seed: 0 };
  const model = await openTrainingModel(start);
  const parameters = model.parameters.reduce((sum, parameter) => sum + parameter.length, 0);
  const { rows, stepTokens } = job.train;
  const length = job.lengths[Math.floor(job.lengths.length / 2)];
  const microTokens = rows * length;
  const micros = Math.max(1, Math.round(stepTokens / microTokens));
  const bus = await busSeconds(parameters, job.device).catch((error) => ({ error: error.message }));
  emit({ what: 'bus', state_bytes: 3 * 4 * parameters, ...bus });
  for (const objective of Object.keys(OBJECTIVES)) {
    const stepOf = (accumulate) =>
      openStep(model, { objective, rows, length, accumulate }, job).then(async (opened) => {
        try {
          return await opened.time(watch);
        } finally {
          await opened.close();
        }
      });
    const few = await stepOf(1);
    const more = await stepOf(3);
    const micro = (more.seconds - few.seconds) / 2;
    const once = few.seconds - micro;
    const predicted = once + micros * micro;
    const measured = timeLeft() > 2.2 * predicted ? await stepOf(micros) : null;
    const seconds = measured?.seconds ?? predicted;
    const rate = (micros * microTokens) / seconds;
    emit({
      ...{
        objective,
        precision: job.precision,
        rows,
        length,
        parameters,
        tokens_a_step: micros * microTokens,
      },
      ...{ tokens_per_s: rate, measured: measured !== null, step_s: seconds },
      ...shares(6 * parameters * rate),
      ...{ micro_s: micro, once_a_step_s: once, share_once_a_step: once / seconds },
      ...{ gpu: (measured ?? more).gpu, rss_bytes: peakRss() },
    });
  }
}

/** A session that has taken one step; `time` takes another. */
async function openStep(model, shape, { device, precision }) {
  const machine = { device, precision, threads: availableParallelism() };
  const opened = await openTrainingStep(model, shape, machine);
  const step = async () => {
    const data = opened.batch();
    const began = performance.now();
    const metrics = await opened.step(data);
    const ended = performance.now();
    const [loss, norm] = ['weighted_loss', 'gradient_norm'].map(
      (name) => metrics[STEP_METRICS.indexOf(name)],
    );
    if (!(loss > 0 && norm > 0 && Number.isFinite(loss + norm)))
      throw new Error(`a step's loss is ${loss}, its gradient's norm ${norm}`);
    return [began, ended];
  };
  // A step is timed after one of the same shape; a long one needs no other, its start is a small part of it.
  await step();
  return {
    async time(watch) {
      const [began, ended] = await step();
      return { seconds: (ended - began) / 1000, gpu: watch.window(began, ended) };
    },
    close: opened.close,
  };
}

/** Seconds that the weights and both moments take to the device and back, by a vector of a third of them. */
async function busSeconds(parameters, device) {
  const g = new GraphBuilder('bus');
  const x = g.input('x', 'float32', [parameters]);
  g.output(g.node('Neg', [x]), 'y', 'float32', [parameters]);
  const session = await ort.InferenceSession.create(encodeModel(toModelProto(g.build())), {
    executionProviders: [device],
  });
  const tensor = () => new ort.Tensor('float32', new Float32Array(parameters).fill(1), [parameters]);
  const [input, output] = [{ x: tensor() }, { y: tensor() }];
  await session.run(input, output);
  const began = performance.now();
  await session.run(input, output);
  const seconds = (performance.now() - began) / 1000;
  await session.release();
  return { seconds_both_ways: 3 * seconds, bytes_per_s: (2 * 4 * parameters) / seconds };
}
