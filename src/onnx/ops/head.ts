/**
 * The loss head: per-token cross-entropy over chunks of rows, so that its memory does not grow with the
 * vocabulary. Logits stay inside.
 */
import { type GraphBuilder, int, subgraph, type Value } from '../graph.js';
import { linear, reshape, slice, toEnd } from './dense.js';

/** Bytes of logits that one chunk may take. */
export const chunkBytes = 64 * 2 ** 20;

/** Rows of float32 logits that fit `chunkBytes`; at least one. */
export const chunkRows = (vocabularySize: number, bytes = chunkBytes): number =>
  Math.max(1, Math.floor(bytes / (4 * vocabularySize)));

export interface HeadWeights {
  /** [V, H] float32, in the outermost graph. */
  readonly weight: Value;
  /** [V] float32 or null. */
  readonly bias: Value | null;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
}

export interface HeadOutputs {
  /** float32 [B, T − 1], nats. */
  readonly loss: Value;
  /** float32 [B, T − 1], nats; null unless asked for. */
  readonly entropy: Value | null;
}

/** hidden [n, H] and targets [n] → losses [n] and entropies [n]. The decomposition that differentiates. */
export function tokenLosses(
  g: GraphBuilder,
  hidden: Value,
  targets: Value,
  head: HeadWeights,
  entropy: boolean,
): HeadOutputs {
  const logits = linear(g, hidden, head.weight, head.bias);
  const logProbabilities = g.node('LogSoftmax', [logits], { attributes: { axis: int(-1) } });
  const column = g.node('Unsqueeze', [targets, g.int64s([1])]);
  const picked = g.node('GatherElements', [logProbabilities, column], { attributes: { axis: int(1) } });
  const loss = g.node('Neg', [g.node('Squeeze', [picked, g.int64s([1])])]);
  if (!entropy) return { loss, entropy: null };
  const terms = g.node('Mul', [g.node('Exp', [logProbabilities]), logProbabilities]);
  const sum = g.node('ReduceSum', [terms, g.int64s([1])], { attributes: { keepdims: int(0) } });
  return { loss, entropy: g.node('Neg', [sum]) };
}

/**
 * hidden [B, T, H] (final norm applied) and ids [B, T] int32 → losses of tokens 1..T−1. Rows go through a
 * Scan in equal chunks of at most `rows`; the last few rows of the last chunk are zero padding.
 */
export function chunkedLossHead(
  g: GraphBuilder,
  hidden: Value,
  ids: Value,
  head: HeadWeights,
  entropy: boolean,
  rows = chunkRows(head.vocabularySize),
): HeadOutputs {
  const targets = slice(g, ids, 1, 1, toEnd);
  const shape = g.node('Shape', [targets]);
  const flatTargets = reshape(g, targets, [-1]);
  const flatHidden = reshape(g, slice(g, hidden, 1, 0, -1), [-1, head.hiddenSize]);

  const count = g.node('ReduceProd', [shape], { attributes: { keepdims: int(1) } });
  const ceilDivide = (a: Value, b: Value): Value =>
    g.node('Div', [g.node('Sub', [g.node('Add', [a, b]), g.int64s([1])]), b]);
  const chunks = ceilDivide(count, g.int64s([rows]));
  const size = ceilDivide(count, chunks);
  const padding = g.node('Sub', [g.node('Mul', [chunks, size]), count]);
  const zero = g.int64s([0]);
  const padRows = (x: Value, rank: number): Value => {
    const before = Array<Value>(rank).fill(zero);
    const after = [padding, ...Array<Value>(rank - 1).fill(zero)];
    return g.node('Pad', [x, g.node('Concat', [...before, ...after], { attributes: { axis: int(0) } })]);
  };
  const chunkShape = (tail: readonly number[]): Value =>
    g.node('Concat', tail.length === 0 ? [chunks, size] : [chunks, size, g.int64s(tail)], {
      attributes: { axis: int(0) },
    });
  const hiddenChunks = g.node('Reshape', [padRows(flatHidden, 2), chunkShape([head.hiddenSize])]);
  const targetChunks = g.node('Reshape', [padRows(flatTargets, 1), chunkShape([])]);

  const body = g.child('loss_chunk');
  const chunkHidden = body.input('chunk_hidden', 'float32', ['rows', head.hiddenSize]);
  const chunkTargets = body.input('chunk_targets', 'int32', ['rows']);
  const results = tokenLosses(body, chunkHidden, chunkTargets, head, entropy);
  body.output(results.loss, 'chunk_loss', 'float32', ['rows']);
  if (results.entropy !== null) body.output(results.entropy, 'chunk_entropy', 'float32', ['rows']);

  const [loss = '', entropies = ''] = g.nodes(
    'Scan',
    [hiddenChunks, targetChunks],
    entropy ? [true, true] : [true],
    {
      attributes: { num_scan_inputs: int(2), body: subgraph(body.build()) },
    },
  );
  const unchunk = (x: Value): Value =>
    g.node('Reshape', [g.node('Slice', [reshape(g, x, [-1]), zero, count]), shape]);
  return { loss: unchunk(loss), entropy: entropy ? unchunk(entropies) : null };
}
