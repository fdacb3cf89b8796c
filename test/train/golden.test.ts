import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { elementsOf, type Parameter, type ParameterVectors } from '#tokensieve/train/parameters.js';
import { writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { temporaryFolder } from '../support/quickstart.js';
import {
  type Digest,
  OBJECTIVES,
  readBatches,
  readTrainingGolden,
  type TrainingGolden,
  trainingGoldenNames,
} from '../support/training-golden.js';
import { trainOnGoldens } from '../support/training-run.js';

// PyTorch's own fp32 run is within 1e-6 nats of its fp64 run (float64_drift in each golden).
const lossTolerance = 1e-5;
// Of the norm. Its squares are summed in float32 chains of up to 65,536: always a little low.
const normTolerance = 3e-5;

const scratch = temporaryFolder();
const batches = readBatches();

describe.each(trainingGoldenNames())('training %s', (name) => {
  const golden = readTrainingGolden(name);
  const folder = join(scratch, name);
  writeGoldenCheckpoint(golden, folder);

  it.each(OBJECTIVES)('follows PyTorch for fifty steps under %s', async (objective) => {
    const { clip, ...expected } = golden[objective];
    const { parameters, first, last, records } = await trainOnGoldens(folder, batches, objective, clip);

    const shapes = Object.fromEntries(parameters.map((parameter) => [parameter.name, parameter.shape]));
    expect(shapes).toEqual(golden.tensors);
    expectDigest(parameters, first.weights, golden, expected.after_one_step, 1, 1e-6);
    if (objective in golden.gradients) {
      // The first moment is (1 − β₁) times the clipped gradient.
      const scale = Math.min(1, clip / (records[0]!.gradient_norm! + 1e-6));
      const gradients = golden.gradients[objective as keyof TrainingGolden['gradients']];
      expectDigest(parameters, first.firstMoment, golden, gradients, 1 / (0.1 * scale), 2e-5);
    }

    expect(records).toHaveLength(expected.loss.length);
    for (const [step, record] of records.entries()) {
      expect(record.kept).toBe(expected.kept[step]);
      expectNear(record.loss_selected ?? Number.NaN, expected.loss_selected[step]!, lossTolerance);
      expectNear(record.loss ?? Number.NaN, expected.loss[step]!, lossTolerance);
      const unselected = expected.loss_unselected[step]!;
      if (unselected === null) expect(record.loss_unselected).toBeNull();
      else expectNear(record.loss_unselected ?? Number.NaN, unselected, lossTolerance);
      const norm = expected.gradient_norm[step]!;
      expectNear(record.gradient_norm!, norm, normTolerance * norm);
    }
    expectDigest(parameters, last.weights, golden, expected.after_all_steps, 1, 2e-5);
  });
});

function expectNear(found: number, expected: number, tolerance: number, what = 'it'): void {
  const gap = Math.abs(found - expected);
  expect(gap, `${what} is ${found} instead of ${expected}`).toBeLessThanOrEqual(tolerance);
}

/** Every sampled entry, times `factor`, within `tolerance`; so the norms, relative to those above 1. */
function expectDigest(
  parameters: readonly Parameter[],
  vectors: ParameterVectors,
  { sampled }: TrainingGolden,
  { norms, values }: Digest,
  factor: number,
  tolerance: number,
): void {
  Object.entries(sampled).forEach(([name, at], index) => {
    const parameter = parameters.find((one) => one.name === name)!;
    const elements = elementsOf(vectors, parameter);
    const picked = Float32Array.from(at, (entry) => elements[entry]! * factor);
    picked.forEach((found, i) => {
      expectNear(found, values[index]![i]!, tolerance, `${name}[${at[i]}]`);
    });
    const norm = parameter.shape.length >= 2 ? factor * Math.hypot(...elements) : Math.hypot(...picked);
    expectNear(norm, norms[index]!, tolerance * Math.max(1, norm), `norm of ${name}`);
  });
}
