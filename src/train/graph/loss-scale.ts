/**
 * Dynamic loss scaling inside the graph (Micikevicius et al. 2018), as float16's small gradients need it: gradients are computed
 * times a scale, a step whose gradient is not finite moves nothing and halves the scale, and many good steps double it.
 */
import { z } from 'zod';
import { type GraphBuilder, int, type Value } from '../../onnx/graph.js';
import { castTo } from '../../onnx/ops/cast.js';
import type { AdamWConstants, StepScalars } from './adamw.js';
import type { ScalingRule } from './step-settings.js';
import { element } from './unpack.js';

/** Entries of the state `scaler`: the scale of the mean loss, good steps since it moved, steps taken, steps skipped. */
export const SCALER = ['loss_scale', 'good_steps', 'taken_steps', 'skipped_steps'] as const;

/** Where the scaler goes in a checkpoint's state, by name. */
export const scalerEntry = (scaler: Float64Array | undefined): Readonly<Record<string, unknown>> =>
  scaler === undefined
    ? {}
    : { loss_scaling: Object.fromEntries(SCALER.map((name, index) => [name, scaler[index]])) };

const entrySchema = z.strictObject({
  loss_scale: z.number().positive(),
  good_steps: z.int().min(0),
  taken_steps: z.int().min(0),
  skipped_steps: z.int().min(0),
} satisfies Record<(typeof SCALER)[number], z.ZodType>);

/** @returns null where a checkpoint has none, undefined where what it has is none. */
export function scalerOf(extra: Readonly<Record<string, unknown>>): Float64Array | null | undefined {
  const entry = extra['loss_scaling'];
  if (entry === undefined) return null;
  const parsed = entrySchema.safeParse(entry);
  return parsed.success ? Float64Array.from(SCALER, (name) => parsed.data[name]) : undefined;
}

/** No gradient of finite float32 numbers is as long. */
const LONGEST = 1e300;

export interface ScaledStep {
  /** Scalar float32 that multiplies the gradients of Σ w·L: a power of two. */
  readonly multiplier: Value;
  /** x float64, of scaled gradients → of unscaled ones. */
  unscale(x: Value): Value;
  /**
   * @param norm of the unscaled gradient, float64
   * @param scalars of a step that is taken, but for its size and floor, which follow from the steps taken so far
   */
  finish(
    norm: Value,
    scalars: StepScalars,
    learningRate: Value,
  ): { readonly scalars: StepScalars; readonly scaler: Value; readonly metrics: readonly [Value, Value] };
}

/**
 * @param scaler [4] float64, `SCALER` before the step
 * @param targets of a step, at most: the scale is of the mean loss (within a factor of two), as it is elsewhere, while
 *   gradients are of the sum
 */
export function scaledStep(
  g: GraphBuilder,
  scaler: Value,
  targets: number,
  rule: ScalingRule & AdamWConstants,
): ScaledStep {
  const node = (op: string, ...inputs: Value[]): Value => g.node(op, inputs);
  const float32 = (x: Value): Value => castTo(g, x, 'float32');
  const float64 = (x: Value): Value => castTo(g, x, 'float64');
  const entry = (name: (typeof SCALER)[number]): Value => element(g, scaler, SCALER.indexOf(name));
  const scale = entry('loss_scale');
  const good = entry('good_steps');
  const taken = entry('taken_steps');
  const skipped = entry('skipped_steps');
  const wide = node('Div', scale, g.float64(2 ** Math.ceil(Math.log2(targets))));
  return {
    multiplier: float32(wide),
    unscale: (x) => node('Div', x, wide),
    finish(norm, scalars, learningRate) {
      const fine = node('Less', norm, g.float64(LONGEST));
      const count = float64(fine);
      const takenNow = node('Add', taken, count);
      // Bias corrections by the steps that were taken, of which the host knows none until a call ends.
      const steps = node('Max', takenNow, g.float64(1));
      const correction = (beta: number): Value =>
        node('Sub', g.float64(1), node('Exp', node('Mul', steps, g.float64(Math.log(beta)))));
      const root = node('Sqrt', correction(rule.beta2));
      const size = node('Div', node('Mul', float64(learningRate), root), correction(rule.beta1));
      const ifFine = (value: Value, otherwise: number): Value =>
        node('Where', fine, value, g.float32(otherwise));

      const goodNow = node('Mul', node('Add', good, g.float64(1)), count);
      const grows = node('GreaterOrEqual', goodNow, g.float64(rule.growEvery));
      const doubled = node('Min', node('Mul', scale, g.float64(2)), g.float64(rule.max));
      const halved = node('Max', node('Mul', scale, g.float64(0.5)), g.float64(rule.min));
      const scaleNow = node('Where', fine, node('Where', grows, doubled, scale), halved);
      const skippedNow = node('Add', skipped, node('Sub', g.float64(1), count));
      const entries = [scaleNow, node('Where', grows, g.float64(0), goodNow), takenNow, skippedNow];
      return {
        scalars: {
          scale: ifFine(scalars.scale, 0),
          stepSize: ifFine(float32(size), 0),
          floor: float32(node('Mul', g.float64(rule.epsilon), root)),
          shrink: scalars.shrink === null ? null : ifFine(scalars.shrink, 1),
          taken: fine,
        },
        scaler: g.node(
          'Concat',
          entries.map((entry) => node('Reshape', entry, g.int64s([1]))),
          { attributes: { axis: int(0) } },
        ),
        metrics: [scale, skippedNow],
      };
    },
  };
}
