import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { elementsOf, type ParameterVectors } from '#tokensieve/train/parameters.js';
import { writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { temporaryFolder } from '../support/quickstart.js';
import {
  type Digest,
  OBJECTIVES,
  readBatches,
  readTrainingGolden,
  type TrainingGolden,
  trainingGoldenNames,
} from '../support/training/golden.js';
import { runSteps, type StepRun } from '../support/training/step-run.js';

// PyTorch's own fp32 run is within 1e-6 nats of its fp64 run (float64_drift in each golden).
const lossTolerance = 1e-5;
// Of the norm. Its squares are summed in float32 chains of up to 65,536: always a little low.
const normTolerance = 3e-5;

const scratch = temporaryFolder();
const batches = readBatches();
const STEPS = batches.shape[0];

describe.each(trainingGoldenNames())('the training step of %s', (name) => {
  const golden = readTrainingGolden(name);
  const folder = join(scratch, name);
  writeGoldenCheckpoint(golden, folder);

  it('has the parameters that PyTorch has', async () => {
    const { parameters } = await runSteps(folder, batches, { objective: 'clm', clip: 1, steps: 1 });
    const shapes = Object.fromEntries(parameters.map((parameter) => [parameter.name, parameter.shape]));
    expect(shapes).toEqual(golden.tensors);
    for (const { shape, group } of parameters) expect(group === 'decayed').toBe(shape.length >= 2);
  });

  describe.each(OBJECTIVES)('under %s', (objective) => {
    const { clip, ...expected } = golden[objective];

    it('makes the first step of PyTorch', async () => {
      const run = await runSteps(folder, batches, { objective, clip, steps: 1 });
      expectDigest(run, run.weights, golden, expected.after_one_step, 1, 1e-6);
      if (!(objective in golden.gradients)) return;
      // The first moment is (1 − β₁) times the clipped gradient.
      const scale = Math.min(1, clip / (run.metrics[0]!.gradient_norm + 1e-6));
      const gradients = golden.gradients[objective as keyof TrainingGolden['gradients']];
      expectDigest(run, run.firstMoment, golden, gradients, 1 / (0.1 * scale), 1e-5);
    });

    it('follows PyTorch for fifty steps', async () => {
      const { metrics, ...run } = await runSteps(folder, batches, { objective, clip, steps: STEPS });
      for (const [step, found] of metrics.entries()) {
        const divisor = objective === 'frozen-eligible' ? found.eligible : found.weight;
        expect(found.kept).toBe(expected.kept[step]);
        expectNear(found.weighted_loss / divisor, expected.loss_selected[step]!, lossTolerance);
        expectNear(found.gradient_norm, expected.gradient_norm[step]!, normTolerance * found.gradient_norm);
        // Where nobody asks for the losses of all tokens they are not computed.
        if (Number.isNaN(found.loss)) {
          expect(objective).toMatch(/^clm/);
          continue;
        }
        expectNear(found.loss / found.eligible, expected.loss[step]!, lossTolerance);
        const dropped = found.eligible - found.kept;
        const unselected = expected.loss_unselected[step] ?? null;
        expect(dropped === 0).toBe(unselected === null);
        if (unselected !== null) expectNear(found.unselected_loss / dropped, unselected, lossTolerance);
      }
      expectDigest({ ...run, metrics }, run.weights, golden, expected.after_all_steps, 1, 2e-5);
    });
  });
});

function expectNear(found: number, expected: number, tolerance: number, what = 'it'): void {
  const gap = Math.abs(found - expected);
  expect(gap, `${what} is ${found} instead of ${expected}`).toBeLessThanOrEqual(tolerance);
}

/** Every sampled entry, times `factor`, within `tolerance`; so the norms, relative to those above 1. */
function expectDigest(
  { parameters }: StepRun,
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
    const norm = parameter.group === 'decayed' ? factor * Math.hypot(...elements) : Math.hypot(...picked);
    expectNear(norm, norms[index]!, tolerance * Math.max(1, norm), `norm of ${name}`);
  });
}
