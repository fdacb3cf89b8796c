/** One micro-batch in a training graph: forward, selection, loss, backward. */
import type { Decoder } from '../../model/decoder.js';
import type { Weights } from '../../model/weights.js';
import { type GraphBuilder, int, type Value } from '../../onnx/graph.js';
import { castTo, widen } from '../../onnx/ops/cast.js';
import { chunkedLossHead, type HeadWeights } from '../../onnx/ops/head.js';
import { reshape, slice, toEnd } from '../../onnx/ops/shape.js';
import { weightedHead } from '../../onnx/ops/weighted-head.js';
import { gradientsOf } from '../../onnx/tape.js';

/** Sizes of a micro-batch, known when the graph is built. */
export interface MicroShape {
  /** B. */
  readonly rows: number;
  /** T. */
  readonly length: number;
}

/** What a forward pass reads, [B, T] int32 each. */
export interface RowInputs {
  readonly ids: Value;
  /** With attention `within` only. */
  readonly positionIds: Value | null;
  readonly documentIds: Value | null;
}

/** And what a gradient asks for besides. */
export interface MicroInputs extends RowInputs {
  /** [B, T] float32, 0 or 1. */
  readonly eligible: Value;
}

/** What the graphs of one model share. */
export interface ModelGraph {
  readonly decoder: Decoder;
  /** Weights usable in `g`. */
  weights(g: GraphBuilder): Weights;
  /** As `StepGraphSettings.form`. */
  readonly attention: 'fused' | 'plain' | 'grouped';
}

interface Forward {
  /** [B, T, H] of the body's float type; the head takes it widened. */
  readonly hidden: Value;
  readonly head: HeadWeights;
}

function forward(
  g: GraphBuilder,
  { decoder, weights, attention }: ModelGraph,
  inputs: RowInputs,
  { length }: MicroShape,
): Forward {
  const found = weights(g);
  const { ids, positionIds, documentIds } = inputs;
  return {
    hidden: decoder.body(g, found, { ids, positionIds, documentIds, attention, length }),
    head: {
      weight: decoder.head(found),
      bias: null,
      hiddenSize: decoder.hiddenSize,
      vocabularySize: decoder.vocabularySize,
    },
  };
}

/** Entries of tokens 1..T−1: x [B, T] → [B, T − 1]. */
export const ofTargets = (g: GraphBuilder, x: Value): Value => slice(g, x, 1, 1, toEnd);

/** Losses of tokens 1..T−1 without a gradient, [B, T − 1] nats. */
export function microLosses(g: GraphBuilder, model: ModelGraph, inputs: RowInputs, shape: MicroShape): Value {
  const { hidden, head } = forward(g, model, inputs, shape);
  return chunkedLossHead(g, widen(g, hidden), inputs.ids, head, { entropy: false }).loss;
}

/**
 * Token weights from losses. `losses` is null where nothing asks for the loss of every token (CLM), else [B, T − 1];
 * returns [B, T − 1] float32.
 */
export type Weighing = (losses: Value | null) => Value;

export interface MicroGradient {
  /** By `wanted`, of Σ w·L, not divided, times `scale`. */
  readonly gradients: readonly Value[];
  /** Sums of the micro-batch, by `METRIC_SUMS`: [6] float64. */
  readonly sums: Value;
}

/** Entries of `MicroGradient.sums`, in order. */
export const METRIC_SUMS = [
  'eligible',
  'kept',
  'weight',
  'weighted_loss',
  'loss',
  'unselected_loss',
] as const;

export interface MicroOptions {
  /** The parameters' values. */
  readonly wanted: readonly Value[];
  /** Compute the loss of every token before the weights. */
  readonly everyLoss: boolean;
  /** Losses of every token, [B, T − 1], where an earlier pass has computed them. */
  readonly knownLosses: Value | null;
  readonly weigh: Weighing;
  /** Scalar float32 that multiplies every gradient: a power of two, so that it changes no bit but the exponent's. Null for 1. */
  readonly scale: Value | null;
}

/** Forward and backward of one micro-batch; `g` records. */
export function microGradient(
  g: GraphBuilder,
  model: ModelGraph,
  inputs: MicroInputs,
  shape: MicroShape,
  options: MicroOptions,
): MicroGradient {
  const { hidden, head } = forward(g, model, inputs, shape);
  const losses = options.everyLoss
    ? chunkedLossHead(g, widen(g, hidden), inputs.ids, head, { entropy: false }).loss
    : options.knownLosses;
  const weights = options.weigh(losses);
  const states = widen(g, reshape(g, slice(g, hidden, 1, 0, -1), [-1, head.hiddenSize]));
  const flat = reshape(g, weights, [-1]);
  const rows = {
    states,
    targets: reshape(g, ofTargets(g, inputs.ids), [-1]),
    weights: options.scale === null ? flat : g.node('Mul', [flat, options.scale]),
    count: shape.rows * (shape.length - 1),
  };
  const made = weightedHead(g, rows, head);
  const weightedLoss =
    options.scale === null
      ? made.weightedLoss
      : g.node('Div', [made.weightedLoss, castTo(g, options.scale, 'float64')]);
  const seeds = new Map([
    [states, made.dStates],
    [head.weight, made.dWeight],
  ]);
  return {
    gradients: gradientsOf(g, seeds, options.wanted),
    sums: metricSums(g, { eligible: ofTargets(g, inputs.eligible), weights, weightedLoss, losses }),
  };
}

/** [6] float64; the last two are NaN when the losses of all tokens are not known. */
function metricSums(
  g: GraphBuilder,
  {
    eligible,
    weights,
    weightedLoss,
    losses,
  }: {
    readonly eligible: Value;
    readonly weights: Value;
    readonly weightedLoss: Value;
    readonly losses: Value | null;
  },
): Value {
  const doubles = (x: Value): Value => castTo(g, x, 'float64');
  const sum = (x: Value): Value => g.node('ReduceSum', [doubles(x)], { attributes: { keepdims: int(0) } });
  const isKept = castTo(g, g.node('Greater', [weights, g.float32(0)]), 'float32');
  const masked = (mask: Value): Value =>
    losses === null ? g.float64(Number.NaN) : sum(g.node('Mul', [losses, mask]));
  const entries = [
    sum(eligible),
    sum(isKept),
    sum(weights),
    weightedLoss,
    masked(eligible),
    masked(g.node('Sub', [eligible, isKept])),
  ];
  const vector = entries.map((entry) => g.node('Reshape', [entry, g.int64s([1])]));
  return g.node('Concat', vector, { attributes: { axis: int(0) } });
}
