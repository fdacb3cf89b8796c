/**
 * A whole optimiser step as one ONNX graph, several steps a call: for every step a Scan over micro-batches sums
 * gradients, then clipping and AdamW make the new state, which stays inside until the call ends.
 */
import type { Decoder } from '../../model/decoder.js';
import { type Graph, GraphBuilder, given, int, subgraph, type Value } from '../../onnx/graph.js';
import { castTo } from '../../onnx/ops/cast.js';
import {
  byGroup,
  PARAMETER_GROUPS,
  type Parameter,
  type ParameterGroup,
  vectorShape,
} from '../parameters.js';
import { accumulatedGradients } from './accumulate.js';
import { adamW, type OptimizerVectors, type StepScalars } from './adamw.js';
import { SCALER, type ScaledStep, scaledStep } from './loss-scale.js';
import { METRIC_SUMS } from './micro-step.js';
import { type Data, dataInputs, type StepContext, type StepGraphSettings } from './step-settings.js';
import { parameterValues } from './trainable-weights.js';
import { element, packedLengths, unpackParameters } from './unpack.js';

/** Per-step scalars that the host computes in double precision: columns of the input `rates` [K, 4]. */
export const RATES = ['step_size', 'floor', 'shrink', 'learning_rate'] as const;

/**
 * Columns of the output `metrics` [K, 9] float64: sums over the step, the gradient's norm before clipping (not finite where the
 * step was skipped), the loss scale of the step, and the steps skipped so far; 1 and 0 without scaling.
 */
export const STEP_METRICS = [...METRIC_SUMS, 'gradient_norm', 'loss_scale', 'skipped_steps'] as const;

type State = Readonly<Record<ParameterGroup, OptimizerVectors>>;

const stateNames = ['weights', 'first_moment', 'second_moment'] as const;
const entriesOf = ({ weights, firstMoment, secondMoment }: OptimizerVectors): readonly Value[] => [
  weights,
  firstMoment,
  secondMoment,
];

function stateOf(values: readonly Value[]): State {
  const group = (at: number): OptimizerVectors => ({
    weights: given(values[at], 'weights'),
    firstMoment: given(values[at + 1], 'first moments'),
    secondMoment: given(values[at + 2], 'second moments'),
  });
  return { decayed: group(0), undecayed: group(3) };
}

const valuesOf = (state: State): Value[] => PARAMETER_GROUPS.flatMap((group) => entriesOf(state[group]));

/** Names, in order, of the graph's state: inputs `NAME`, outputs `new_NAME`, one vector each. */
export const STATE_NAMES = PARAMETER_GROUPS.flatMap((group) =>
  stateNames.map((name) => `${group}_${name}` as const),
);

/**
 * inputs: the state, float32 of `vectorShape(paddedLength(groupLength(…)))` each; `rates` [K, 4] float32; and
 * [K, A, B, T] each: `ids` int32, `eligible` float32, by the objective `weight` or `reference_loss` float32, with
 * attention within `positions` and `documents` int32.
 * outputs: the new state; `metrics` [K, 9] float64.
 * With loss scaling, `scaler` [4] float64 is of the state too (`SCALER`).
 */
export function buildStepGraph(
  decoder: Decoder,
  parameters: readonly Parameter[],
  settings: StepGraphSettings,
): Graph {
  const { severalSteps, accumulate, rows, length, float = 'float32', scaling } = settings;
  const steps = severalSteps ? 'steps' : 1;
  const g = new GraphBuilder('training_step', { recording: true, float });
  const lengths = packedLengths(parameters);
  const state = PARAMETER_GROUPS.flatMap((group) =>
    stateNames.map((name) => g.input(`${group}_${name}`, 'float32', vectorShape(lengths[group]))),
  );
  const scaler = scaling === undefined ? null : g.input('scaler', 'float64', [SCALER.length]);
  const rates = g.input('rates', 'float32', [steps, RATES.length]);
  const data = dataInputs(settings).map(({ name, type }) => ({
    name,
    type,
    value: g.input(name, type, [steps, accumulate, rows, length]),
  }));
  const context = { decoder, parameters, settings, lengths };

  const finish = (values: readonly Value[], newScaler: Value | null, metrics: Value): Graph => {
    values.forEach((value, index) => {
      const group = index < stateNames.length ? 'decayed' : 'undecayed';
      g.output(value, `new_${STATE_NAMES[index]}`, 'float32', vectorShape(lengths[group]));
    });
    if (newScaler !== null) g.output(newScaler, 'new_scaler', 'float64', [SCALER.length]);
    g.output(metrics, 'metrics', 'float64', [steps, STEP_METRICS.length]);
    return g.build();
  };

  if (!severalSteps) {
    const first = (x: Value): Value => g.node('Squeeze', [x, g.int64s([0])]);
    const values = new Map(data.map(({ name, value }) => [name, first(value)]));
    const made = trainingStep(g, context, {
      state: stateOf(state),
      scaler,
      rates: first(rates),
      data: values,
    });
    return finish(valuesOf(made.state), made.scaler, g.node('Unsqueeze', [made.metrics, g.int64s([0])]));
  }
  const body = g.child('step', { recording: true });
  const carried = STATE_NAMES.map((name, index) =>
    body.input(
      `step_${name}`,
      'float32',
      vectorShape(lengths[index < stateNames.length ? 'decayed' : 'undecayed']),
    ),
  );
  const carriedScaler = scaler === null ? null : body.input('step_scaler', 'float64', [SCALER.length]);
  const rate = body.input('step_rates', 'float32', [RATES.length]);
  const values = new Map(
    data.map(({ name, type }) => [name, body.input(`step_${name}`, type, [accumulate, rows, length])]),
  );
  const made = trainingStep(body, context, {
    state: stateOf(carried),
    scaler: carriedScaler,
    rates: rate,
    data: values,
  });
  valuesOf(made.state).forEach((value, index) => {
    body.output(
      value,
      `step_new_${STATE_NAMES[index]}`,
      'float32',
      vectorShape(lengths[index < stateNames.length ? 'decayed' : 'undecayed']),
    );
  });
  if (made.scaler !== null) body.output(made.scaler, 'step_new_scaler', 'float64', [SCALER.length]);
  body.output(made.metrics, 'step_metrics', 'float64', [STEP_METRICS.length]);
  const scalers = scaler === null ? [] : [scaler];
  const results = g.nodes(
    'Scan',
    [...state, ...scalers, rates, ...data.map(({ value }) => value)],
    [...STATE_NAMES.map(() => true as const), ...scalers.map(() => true as const), true],
    { attributes: { num_scan_inputs: int(1 + data.length), body: subgraph(body.build()) } },
  );
  const newScaler = scaler === null ? null : given(results[STATE_NAMES.length], 'loss scale');
  return finish(results.slice(0, STATE_NAMES.length), newScaler, given(results.at(-1), 'metrics'));
}

/** What a step begins with: `rates` [4], data [A, B, T]. */
interface StepInputs {
  readonly state: State;
  readonly scaler: Value | null;
  readonly rates: Value;
  readonly data: Data;
}

/** One step → its new state and metrics [9]. */
function trainingStep(
  g: GraphBuilder,
  context: StepContext,
  { state, scaler, rates, data }: StepInputs,
): { state: State; scaler: Value | null; metrics: Value } {
  const { parameters, settings, lengths } = context;
  const vectors = byGroup((group) => state[group].weights);
  const unpacked = unpackParameters(g, parameters, vectors);
  const values = parameterValues(g, context.decoder, unpacked);
  const { accumulate, rows, length, scaling } = settings;
  const scaled: ScaledStep | null =
    scaler === null || scaling === undefined
      ? null
      : scaledStep(g, scaler, accumulate * rows * (length - 1), { ...settings.adamw, ...scaling });
  const { gradients, sums } = accumulatedGradients(g, context, values, data, scaled?.multiplier ?? null);
  const sumAt = (index: number): Value => element(g, sums, index);
  const float32 = (x: Value): Value => castTo(g, x, 'float32');

  const divisor = sumAt(settings.divisor === 'weight' ? 2 : 0);
  const safe = g.node('Where', [g.node('Greater', [divisor, g.float64(0)]), divisor, g.float64(1)]);
  const squares = PARAMETER_GROUPS.map((group) => sumOfSquares(g, gradients[group], lengths[group]));
  const divided = g.node('Div', [g.node('Sqrt', [g.node('Add', squares)]), safe]);
  const norm = scaled === null ? divided : scaled.unscale(divided);
  // As torch.nn.utils.clip_grad_norm_ does, its 1e-6 included.
  const ratio = g.node('Div', [g.float64(settings.clip), g.node('Add', [norm, g.float64(1e-6)])]);
  const clipped = g.node('Div', [g.node('Min', [ratio, g.float64(1)]), safe]);
  const rate = (name: (typeof RATES)[number]): Value => element(g, rates, RATES.indexOf(name));
  const scalars: StepScalars = {
    scale: float32(clipped),
    stepSize: rate('step_size'),
    floor: rate('floor'),
    shrink: rate('shrink'),
  };
  const moved =
    scaled === null
      ? { scalars, scaler: null, metrics: [g.float64(1), g.float64(0)] }
      : scaled.finish(norm, { ...scalars, scale: float32(scaled.unscale(clipped)) }, rate('learning_rate'));
  const updated = (group: ParameterGroup): OptimizerVectors =>
    adamW(
      g,
      state[group],
      { values: gradients[group], length: lengths[group] },
      group === 'decayed' ? moved.scalars : { ...moved.scalars, shrink: null },
      settings.adamw,
    );
  return {
    state: byGroup(updated),
    scaler: moved.scaler,
    metrics: g.node(
      'Concat',
      [sums, ...[norm, ...moved.metrics].map((x) => g.node('Reshape', [x, g.int64s([1])]))],
      { attributes: { axis: int(0) } },
    ),
  };
}

/** Pieces that squares are summed over in float32 before float64 takes over. */
const SQUARES = 2 ** 12;

/** Σ x² of a padded vector as a float64 scalar. */
function sumOfSquares(g: GraphBuilder, x: Value, length: number): Value {
  const doubles = (value: Value): Value => castTo(g, value, 'float64');
  const whole = { attributes: { keepdims: int(0) } };
  if (length % SQUARES !== 0) return g.node('ReduceSumSquare', [doubles(x)], whole);
  const pieces = g.node('Reshape', [x, g.int64s([-1, SQUARES])]);
  return g.node('ReduceSum', [doubles(g.node('ReduceSumSquare', [pieces, g.int64s([1])], whole))], whole);
}
