/** Gradients of a whole step: micro-batches one after the other, their selection within each or over all. */

import { type GraphBuilder, given, int, subgraph, type Value } from '../../onnx/graph.js';
import { castTo } from '../../onnx/ops/cast.js';
import { PARAMETER_GROUPS, type ParameterGroup } from '../parameters.js';
import {
  METRIC_SUMS,
  type ModelGraph,
  microGradient,
  microLosses,
  ofTargets,
  type RowInputs,
} from './micro-step.js';
import { type RankingRule, rankedWeights } from './ranking.js';
import { type Data, dataInputs, type StepContext } from './step-settings.js';
import { type ParameterValues, trainableWeights } from './trainable-weights.js';
import { element, packGradients } from './unpack.js';

interface Accumulated {
  readonly gradients: Readonly<Record<ParameterGroup, Value>>;
  /** [6] float64. */
  readonly sums: Value;
}

/**
 * Gradients of Σ w·L over all micro-batches of a step, in a Scan when there are several; float32 sums.
 * @param scale as `MicroOptions.scale`
 */
export function accumulatedGradients(
  g: GraphBuilder,
  context: StepContext,
  values: ParameterValues,
  data: Data,
  scale: Value | null,
): Accumulated {
  const { settings, lengths } = context;
  const { accumulate, rows, length, objective } = settings;
  const names = [...data.keys()];
  const types = new Map(dataInputs(settings).map(({ name, type }) => [name, type]));
  if (accumulate === 1) {
    const only = new Map([...data].map(([name, value]) => [name, g.node('Squeeze', [value, g.int64s([0])])]));
    return microStep(g, context, values, { data: only, ranked: null, scale });
  }
  const ranked =
    objective.kind === 'live' && objective.scope === 'step'
      ? stepWeights(g, context, values, data, objective.rule)
      : null;
  const body = g.child('micro_step', { recording: true });
  const carried = PARAMETER_GROUPS.map((group) => body.input(`micro_${group}`, 'float32', [lengths[group]]));
  const carriedSums = body.input('micro_sums', 'float64', [METRIC_SUMS.length]);
  const micro = new Map(
    names.map((name) => [name, body.input(`micro_${name}`, types.get(name) ?? 'float32', [rows, length])]),
  );
  const rankedInput = ranked === null ? null : body.input('micro_ranked', 'float32', [2, rows, length - 1]);
  const made = microStep(body, context, values, { data: micro, ranked: rankedInput, scale });
  PARAMETER_GROUPS.forEach((group, index) => {
    const sum = body.node('Add', [given(carried[index], `sum of ${group} gradients`), made.gradients[group]]);
    body.output(sum, `micro_new_${group}`, 'float32', [lengths[group]]);
  });
  body.output(body.node('Add', [carriedSums, made.sums]), 'micro_new_sums', 'float64', [METRIC_SUMS.length]);
  const scanned = [...data.values(), ...(ranked === null ? [] : [ranked])];
  const zeros = PARAMETER_GROUPS.map((group) => g.node('ConstantOfShape', [g.int64s([lengths[group]])]));
  const zeroSums = castTo(g, g.node('ConstantOfShape', [g.int64s([METRIC_SUMS.length])]), 'float64');
  const [decayed, undecayed, sums] = g.nodes('Scan', [...zeros, zeroSums, ...scanned], [true, true, true], {
    attributes: { num_scan_inputs: int(scanned.length), body: subgraph(body.build()) },
  });
  return { gradients: { decayed, undecayed }, sums };
}

/** An input that the objective cannot do without. */
const named = (data: Data, name: string): Value => given(data.get(name), `input ${name}`);

const rowInputs = (data: Data): RowInputs => ({
  ids: named(data, 'ids'),
  positionIds: data.get('positions') ?? null,
  documentIds: data.get('documents') ?? null,
});

const modelGraph = ({ decoder, settings }: StepContext, values: ParameterValues): ModelGraph => ({
  decoder,
  weights: (g) => trainableWeights(g, values),
  attention: settings.form,
});

/** What a micro-batch computes from. */
interface MicroStep {
  /** [B, T] each. */
  readonly data: Data;
  /** [2, B, T − 1]: weights and losses of a ranking over the whole step. */
  readonly ranked: Value | null;
  /** As `MicroOptions.scale`. */
  readonly scale: Value | null;
}

function microStep(
  g: GraphBuilder,
  context: StepContext,
  values: ParameterValues,
  { data, ranked, scale }: MicroStep,
): Accumulated {
  const { settings, parameters } = context;
  const { objective, rows, length } = settings;
  const inputs = { ...rowInputs(data), eligible: named(data, 'eligible') };
  const eligible = ofTargets(g, inputs.eligible);
  const weigh = (losses: Value | null): Value => {
    if (objective.kind === 'clm') return eligible;
    if (objective.kind === 'frozen') return ofTargets(g, named(data, 'weight'));
    if (ranked !== null) return element(g, ranked, 0);
    const score = g.node('Sub', [given(losses, 'losses'), ofTargets(g, named(data, 'reference_loss'))]);
    const targets = length - 1;
    const shape =
      objective.scope === 'sequence' ? ([rows, targets] as const) : ([1, rows * targets] as const);
    const weights = rankedWeights(g, score, eligible, shape, objective.rule);
    return g.node('Reshape', [weights, g.int64s([rows, targets])]);
  };
  const made = microGradient(g, modelGraph(context, values), inputs, settings, {
    wanted: parameters.map(({ name }) => given(values.used.get(name), name)),
    everyLoss: objective.kind !== 'clm' && ranked === null,
    knownLosses: ranked === null ? null : element(g, ranked, 1),
    weigh,
    scale,
  });
  return { gradients: packGradients(g, parameters, made.gradients), sums: made.sums };
}

/** A first pass without gradients over all micro-batches, ranked together → weights and losses [A, 2, B, T − 1]. */
function stepWeights(
  g: GraphBuilder,
  context: StepContext,
  values: ParameterValues,
  data: Data,
  rule: RankingRule,
): Value {
  const { settings } = context;
  const { accumulate, rows, length } = settings;
  const types = new Map(dataInputs(settings).map(({ name, type }) => [name, type]));
  const names = ['ids', ...(settings.attention === 'within' ? ['positions', 'documents'] : [])];
  const body = g.child('ranking_pass');
  const ranking = new Map(
    names.map((name) => [name, body.input(`ranking_${name}`, types.get(name) ?? 'int32', [rows, length])]),
  );
  const losses = microLosses(body, modelGraph(context, values), rowInputs(ranking), settings);
  body.output(losses, 'ranking_loss', 'float32', [rows, length - 1]);
  const [all] = g.nodes(
    'Scan',
    names.map((name) => named(data, name)),
    [true],
    {
      attributes: { num_scan_inputs: int(names.length), body: subgraph(body.build()) },
    },
  );
  const targets = (name: string): Value =>
    g.node('Slice', [named(data, name), g.int64s([1]), g.int64s([length]), g.int64s([2])]);
  const score = g.node('Sub', [all, targets('reference_loss')]);
  const weights = rankedWeights(g, score, targets('eligible'), [1, accumulate * rows * (length - 1)], rule);
  const shaped = (x: Value): Value => g.node('Reshape', [x, g.int64s([accumulate, 1, rows, length - 1])]);
  return g.node('Concat', [shaped(weights), shaped(all)], { attributes: { axis: int(1) } });
}
