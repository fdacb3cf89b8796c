/**
 * A whole optimiser step as one ONNX graph, several steps a call: for every step a Scan over micro-batches sums
 * gradients, then clipping and AdamW make the new state, which stays inside until the call ends.
 */
import type { Decoder } from '../model/decoder.js';
import { type Graph, GraphBuilder, int, subgraph, type TensorType, type Value } from '../onnx/graph.js';
import { type AdamWConstants, adamW, type OptimizerVectors, paddedLength } from './adamw-graph.js';
import {
  METRIC_SUMS,
  type MicroInputs,
  type MicroShape,
  type ModelGraph,
  microGradient,
  microLosses,
  ofTargets,
} from './micro-step.js';
import { groupLength, PARAMETER_GROUPS, type Parameter, type ParameterGroup } from './parameters.js';
import { type RankingRule, rankedWeights } from './ranking-graph.js';
import { trainableWeights } from './trainable-weights.js';

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
  /** K: steps a call. */
  readonly steps: number;
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

/** Per-step scalars that the host computes in double precision: columns of the input `rates` [K, 4]. */
export const RATES = ['step_size', 'root_correction', 'shrink', 'learning_rate'] as const;

/** Columns of the output `metrics` [K, 7] float64: sums over the step, and the gradient's norm before clipping. */
export const STEP_METRICS = [...METRIC_SUMS, 'gradient_norm'] as const;

const dataInputs = (settings: StepGraphSettings): readonly (readonly [string, TensorType])[] => [
  ['ids', 'int32'],
  ['eligible', 'float32'],
  ...(settings.objective.kind === 'frozen' ? [['weight', 'float32'] as const] : []),
  ...(settings.objective.kind === 'live' ? [['reference_loss', 'float32'] as const] : []),
  ...(settings.attention === 'within'
    ? [['positions', 'int32'] as const, ['documents', 'int32'] as const]
    : []),
];

type Data = ReadonlyMap<string, Value>;
type State = Readonly<Record<ParameterGroup, OptimizerVectors>>;

const stateNames = ['weights', 'first_moment', 'second_moment'] as const;
const entriesOf = ({ weights, firstMoment, secondMoment }: OptimizerVectors): readonly Value[] => [
  weights,
  firstMoment,
  secondMoment,
];

function stateOf(values: readonly Value[]): State {
  const group = (at: number): OptimizerVectors => ({
    weights: values[at] ?? '',
    firstMoment: values[at + 1] ?? '',
    secondMoment: values[at + 2] ?? '',
  });
  return { decayed: group(0), undecayed: group(3) };
}

const valuesOf = (state: State): Value[] => PARAMETER_GROUPS.flatMap((group) => entriesOf(state[group]));

/** Names, in order, of the graph's state: inputs `NAME`, outputs `new_NAME`, one vector each. */
export const STATE_NAMES = PARAMETER_GROUPS.flatMap((group) =>
  stateNames.map((name) => `${group}_${name}` as const),
);

/**
 * inputs: the state, [n] float32 each, n = `paddedLength(groupLength(…))`; `rates` [K, 4] float32; and
 * [K, A, B, T] each: `ids` int32, `eligible` float32, by the objective `weight` or `reference_loss` float32, with
 * attention within `positions` and `documents` int32.
 * outputs: the new state; `metrics` [K, 7] float64.
 */
export function buildStepGraph(
  decoder: Decoder,
  parameters: readonly Parameter[],
  has: (name: string) => boolean,
  settings: StepGraphSettings,
): Graph {
  const { steps, accumulate, rows, length } = settings;
  const g = new GraphBuilder('training_step', { recording: true });
  const lengths = groupLengths(parameters);
  const state = PARAMETER_GROUPS.flatMap((group) =>
    stateNames.map((name) => g.input(`${group}_${name}`, 'float32', [lengths[group]])),
  );
  const rates = g.input('rates', 'float32', [steps, RATES.length]);
  const data = dataInputs(settings).map(([name, type]) => ({
    name,
    type,
    value: g.input(name, type, [steps, accumulate, rows, length]),
  }));
  const step = (body: GraphBuilder, given: State, rate: Value, values: Data) =>
    trainingStep(body, { decoder, parameters, has, settings, lengths }, given, rate, values);

  const finish = (values: readonly Value[], metrics: Value): Graph => {
    values.forEach((value, index) => {
      const group = index < stateNames.length ? 'decayed' : 'undecayed';
      g.output(value, `new_${STATE_NAMES[index]}`, 'float32', [lengths[group]]);
    });
    g.output(metrics, 'metrics', 'float64', [steps, STEP_METRICS.length]);
    return g.build();
  };

  if (steps === 1) {
    const first = (x: Value): Value => g.node('Squeeze', [x, g.int64s([0])]);
    const values = new Map(data.map(({ name, value }) => [name, first(value)]));
    const made = step(g, stateOf(state), first(rates), values);
    return finish(valuesOf(made.state), g.node('Unsqueeze', [made.metrics, g.int64s([0])]));
  }
  const body = g.child('step', { recording: true });
  const carried = STATE_NAMES.map((name, index) =>
    body.input(`step_${name}`, 'float32', [lengths[index < stateNames.length ? 'decayed' : 'undecayed']]),
  );
  const rate = body.input('step_rates', 'float32', [RATES.length]);
  const values = new Map(
    data.map(({ name, type }) => [name, body.input(`step_${name}`, type, [accumulate, rows, length])]),
  );
  const made = step(body, stateOf(carried), rate, values);
  valuesOf(made.state).forEach((value, index) => {
    body.output(value, `step_new_${STATE_NAMES[index]}`, 'float32', [
      lengths[index < stateNames.length ? 'decayed' : 'undecayed'],
    ]);
  });
  body.output(made.metrics, 'step_metrics', 'float64', [STEP_METRICS.length]);
  const results = g.nodes(
    'Scan',
    [...state, rates, ...data.map(({ value }) => value)],
    [...STATE_NAMES.map(() => true), true],
    { attributes: { num_scan_inputs: int(1 + data.length), body: subgraph(body.build()) } },
  );
  return finish(results.slice(0, STATE_NAMES.length), results.at(-1) ?? '');
}

const groupLengths = (parameters: readonly Parameter[]): Record<ParameterGroup, number> => ({
  decayed: paddedLength(groupLength(parameters, 'decayed')),
  undecayed: paddedLength(groupLength(parameters, 'undecayed')),
});

interface StepContext {
  readonly decoder: Decoder;
  readonly parameters: readonly Parameter[];
  readonly has: (name: string) => boolean;
  readonly settings: StepGraphSettings;
  readonly lengths: Readonly<Record<ParameterGroup, number>>;
}

/** The parameters' own tensors, cut from the flat vectors, by name. */
export function unpackParameters(
  g: GraphBuilder,
  parameters: readonly Parameter[],
  vectors: Readonly<Record<ParameterGroup, Value>>,
): Map<string, Value> {
  const unpacked = new Map<string, Value>();
  for (const group of PARAMETER_GROUPS) {
    const members = parameters.filter((parameter) => parameter.group === group);
    const length = groupLength(parameters, group);
    const widths = members.map((parameter) => parameter.length);
    const padding = paddedLength(length) - length;
    const sizes = padding > 0 ? [...widths, padding] : widths;
    const pieces = g.nodes(
      'Split',
      [vectors[group], g.int64s(sizes)],
      sizes.map(() => true),
      {
        attributes: { axis: int(0) },
      },
    );
    members.forEach(({ name, shape }, index) => {
      unpacked.set(name, g.node('Reshape', [pieces[index] ?? '', g.int64s(shape)]));
    });
  }
  return unpacked;
}

/** Gradients in the order of `parameters` → one padded vector a group. */
function packGradients(
  g: GraphBuilder,
  parameters: readonly Parameter[],
  gradients: readonly Value[],
): Record<ParameterGroup, Value> {
  const pack = (group: ParameterGroup): Value => {
    const flat = parameters.flatMap((parameter, index) =>
      parameter.group === group ? [g.node('Reshape', [gradients[index] ?? '', g.int64s([-1])])] : [],
    );
    const length = groupLength(parameters, group);
    const padding = paddedLength(length) - length;
    const zeros = padding > 0 ? [g.node('ConstantOfShape', [g.int64s([padding])])] : [];
    return g.node('Concat', [...flat, ...zeros], { attributes: { axis: int(0) } });
  };
  return { decayed: pack('decayed'), undecayed: pack('undecayed') };
}

/** values [A, B, T] of one step → its new state and metrics [7]. */
function trainingStep(
  g: GraphBuilder,
  context: StepContext,
  state: State,
  rates: Value,
  data: Data,
): { state: State; metrics: Value } {
  const { parameters, settings, lengths } = context;
  const vectors = { decayed: state.decayed.weights, undecayed: state.undecayed.weights };
  const unpacked = unpackParameters(g, parameters, vectors);
  const { gradients, sums } = accumulatedGradients(g, context, unpacked, data);
  const sumAt = (index: number): Value => slice1(g, sums, index);
  const float32 = (x: Value): Value => g.node('Cast', [x], { attributes: { to: int(1) } });

  const divisor = sumAt(settings.divisor === 'weight' ? 2 : 0);
  const safe = g.node('Where', [g.node('Greater', [divisor, g.float64(0)]), divisor, g.float64(1)]);
  const squares = PARAMETER_GROUPS.map((group) => sumOfSquares(g, gradients[group], lengths[group]));
  const norm = g.node('Div', [g.node('Sqrt', [g.node('Add', squares)]), safe]);
  // As torch.nn.utils.clip_grad_norm_ does, its 1e-6 included.
  const ratio = g.node('Div', [g.float64(settings.clip), g.node('Add', [norm, g.float64(1e-6)])]);
  const scale = float32(g.node('Div', [g.node('Min', [ratio, g.float64(1)]), safe]));

  const rate = (name: (typeof RATES)[number]): Value => slice1(g, rates, RATES.indexOf(name));
  const updated = (group: ParameterGroup): OptimizerVectors =>
    adamW(
      g,
      state[group],
      gradients[group],
      lengths[group],
      {
        scale,
        stepSize: rate('step_size'),
        rootCorrection: rate('root_correction'),
        shrink: group === 'decayed' ? rate('shrink') : null,
      },
      settings.adamw,
    );
  return {
    state: { decayed: updated('decayed'), undecayed: updated('undecayed') },
    metrics: g.node('Concat', [sums, g.node('Reshape', [norm, g.int64s([1])])], {
      attributes: { axis: int(0) },
    }),
  };
}

/** Element `index` of a vector, as a scalar. */
const slice1 = (g: GraphBuilder, x: Value, index: number): Value => g.node('Gather', [x, g.int64(index)]);

/** Σ x² of a padded vector as a float64 scalar: float32 within pieces of up to 2^12, float64 across them. */
function sumOfSquares(g: GraphBuilder, x: Value, length: number): Value {
  const pieces = g.node('Reshape', [x, g.int64s(length % 4096 === 0 ? [-1, 4096] : [1, -1])]);
  const sums = g.node('ReduceSumSquare', [pieces, g.int64s([1])], { attributes: { keepdims: int(0) } });
  const doubles = g.node('Cast', [sums], { attributes: { to: int(11) } });
  return g.node('ReduceSum', [doubles], { attributes: { keepdims: int(0) } });
}

interface Accumulated {
  readonly gradients: Readonly<Record<ParameterGroup, Value>>;
  /** [6] float64. */
  readonly sums: Value;
}

/** Gradients of Σ w·L over all micro-batches of a step, in a Scan when there are several. */
function accumulatedGradients(
  g: GraphBuilder,
  context: StepContext,
  unpacked: ReadonlyMap<string, Value>,
  data: Data,
): Accumulated {
  const { settings, lengths } = context;
  const { accumulate, rows, length, objective } = settings;
  const names = [...data.keys()];
  const types = new Map(dataInputs(settings));
  if (accumulate === 1) {
    const values = new Map(
      names.map((name) => [name, g.node('Squeeze', [data.get(name) ?? '', g.int64s([0])])]),
    );
    return microStep(g, context, unpacked, values, null);
  }
  const ranked =
    objective.kind === 'live' && objective.scope === 'step'
      ? stepWeights(g, context, unpacked, data, objective.rule)
      : null;
  const body = g.child('micro_step', { recording: true });
  const carried = PARAMETER_GROUPS.map((group) => body.input(`micro_${group}`, 'float32', [lengths[group]]));
  const carriedSums = body.input('micro_sums', 'float64', [METRIC_SUMS.length]);
  const values = new Map(
    names.map((name) => [name, body.input(`micro_${name}`, types.get(name) ?? 'float32', [rows, length])]),
  );
  const rankedInput = ranked === null ? null : body.input('micro_ranked', 'float32', [2, rows, length - 1]);
  const made = microStep(body, context, unpacked, values, rankedInput);
  PARAMETER_GROUPS.forEach((group, index) => {
    const sum = body.node('Add', [carried[index] ?? '', made.gradients[group]]);
    body.output(sum, `micro_new_${group}`, 'float32', [lengths[group]]);
  });
  body.output(body.node('Add', [carriedSums, made.sums]), 'micro_new_sums', 'float64', [METRIC_SUMS.length]);
  const scanned = [...names.map((name) => data.get(name) ?? ''), ...(ranked === null ? [] : [ranked])];
  const zeros = PARAMETER_GROUPS.map((group) => g.node('ConstantOfShape', [g.int64s([lengths[group]])]));
  const zeroSums = g.node('Cast', [g.node('ConstantOfShape', [g.int64s([METRIC_SUMS.length])])], {
    attributes: { to: int(11) },
  });
  const [decayed = '', undecayed = '', sums = ''] = g.nodes(
    'Scan',
    [...zeros, zeroSums, ...scanned],
    [true, true, true],
    { attributes: { num_scan_inputs: int(scanned.length), body: subgraph(body.build()) } },
  );
  return { gradients: { decayed, undecayed }, sums };
}

const microInputs = (data: Data): MicroInputs => ({
  ids: data.get('ids') ?? '',
  eligible: data.get('eligible') ?? '',
  positionIds: data.get('positions') ?? null,
  documentIds: data.get('documents') ?? null,
});

const modelGraph = (
  { decoder, has, settings }: StepContext,
  unpacked: ReadonlyMap<string, Value>,
): ModelGraph => ({
  decoder,
  weights: (g) => trainableWeights(g, unpacked, has),
  attention: settings.form,
});

/** values [B, T]; `ranked` [2, B, T − 1] are weights and losses of a ranking over the whole step. */
function microStep(
  g: GraphBuilder,
  context: StepContext,
  unpacked: ReadonlyMap<string, Value>,
  data: Data,
  ranked: Value | null,
): Accumulated {
  const { settings, parameters } = context;
  const { objective, rows, length } = settings;
  const inputs = microInputs(data);
  const eligible = ofTargets(g, inputs.eligible);
  const weigh = (losses: Value | null): Value => {
    if (objective.kind === 'clm') return eligible;
    if (objective.kind === 'frozen') return ofTargets(g, data.get('weight') ?? '');
    if (ranked !== null) return slice1(g, ranked, 0);
    const score = g.node('Sub', [losses ?? '', ofTargets(g, data.get('reference_loss') ?? '')]);
    const targets = length - 1;
    const shape =
      objective.scope === 'sequence' ? ([rows, targets] as const) : ([1, rows * targets] as const);
    const weights = rankedWeights(g, score, eligible, shape, objective.rule);
    return g.node('Reshape', [weights, g.int64s([rows, targets])]);
  };
  const made = microGradient(g, modelGraph(context, unpacked), inputs, settings, {
    wanted: parameters.map(({ name }) => unpacked.get(name) ?? ''),
    everyLoss: objective.kind !== 'clm' && ranked === null,
    knownLosses: ranked === null ? null : slice1(g, ranked, 1),
    weigh,
  });
  return { gradients: packGradients(g, parameters, made.gradients), sums: made.sums };
}

/** A first pass without gradients over all micro-batches, ranked together → weights and losses [A, 2, B, T − 1]. */
function stepWeights(
  g: GraphBuilder,
  context: StepContext,
  unpacked: ReadonlyMap<string, Value>,
  data: Data,
  rule: RankingRule,
): Value {
  const { settings } = context;
  const { accumulate, rows, length } = settings;
  const types = new Map(dataInputs(settings));
  const names = ['ids', ...(settings.attention === 'within' ? ['positions', 'documents'] : [])];
  const body = g.child('ranking_pass');
  const values = new Map(
    names.map((name) => [name, body.input(`ranking_${name}`, types.get(name) ?? 'int32', [rows, length])]),
  );
  const losses = microLosses(body, modelGraph(context, unpacked), microInputs(values), settings);
  body.output(losses, 'ranking_loss', 'float32', [rows, length - 1]);
  const [all = ''] = g.nodes(
    'Scan',
    names.map((name) => data.get(name) ?? ''),
    [true],
    {
      attributes: { num_scan_inputs: int(names.length), body: subgraph(body.build()) },
    },
  );
  const targets = (name: string): Value =>
    g.node('Slice', [data.get(name) ?? '', g.int64s([1]), g.int64s([length]), g.int64s([2])]);
  const score = g.node('Sub', [all, targets('reference_loss')]);
  const weights = rankedWeights(g, score, targets('eligible'), [1, accumulate * rows * (length - 1)], rule);
  const shaped = (x: Value): Value => g.node('Reshape', [x, g.int64s([accumulate, 1, rows, length - 1])]);
  return g.node('Concat', [shaped(weights), shaped(all)], { attributes: { axis: int(1) } });
}
