/**
 * The loss head: per-token cross-entropy over chunks of rows, so that its memory does not grow with the
 * vocabulary. Logits stay inside.
 */
import { type GraphBuilder, int, subgraph, type TensorType, type Value } from '../graph.js';
import { logitLosses } from './cross-entropy.js';
import { linear } from './dense.js';
import { reshape, slice, toEnd } from './shape.js';

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

/** hidden [B, T, H] float32 (final norm applied) and ids [B, T] int32 → losses of tokens 1..T−1, by `chunkedLosses`. */
export function chunkedLossHead(
  g: GraphBuilder,
  hidden: Value,
  ids: Value,
  head: HeadWeights,
  entropy: boolean,
): HeadOutputs {
  const source: LogitSource = {
    width: head.hiddenSize,
    type: 'float32',
    logits: (body, chunk) => linear(body, chunk, head.weight, head.bias),
  };
  return chunkedLosses(g, hidden, ids, source, head.vocabularySize, entropy);
}

/** How a chunk of rows becomes logits: by the output embedding, or as an export's own last nodes do it. */
export interface LogitSource {
  /** Numbers a row, and their type. */
  readonly width: number;
  readonly type: TensorType;
  /** rows [n, width] → logits [n, V] float32, built inside the loop's body. */
  logits(body: GraphBuilder, rows: Value): Value;
}

/**
 * states [B, T, width] and ids [B, T] int32 → losses of tokens 1..T−1. Rows go through a Scan in equal chunks
 * of at most `rows`; the last few rows of the last chunk are zero padding.
 */
export function chunkedLosses(
  g: GraphBuilder,
  states: Value,
  ids: Value,
  source: LogitSource,
  vocabularySize: number,
  entropy: boolean,
  rows = chunkRows(vocabularySize),
): HeadOutputs {
  const targets = slice(g, ids, 1, 1, toEnd);
  const shape = g.node('Shape', [targets]);
  const flatTargets = reshape(g, targets, [-1]);
  const flatStates = reshape(g, slice(g, states, 1, 0, -1), [-1, source.width]);

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
  const stateChunks = g.node('Reshape', [padRows(flatStates, 2), chunkShape([source.width])]);
  const targetChunks = g.node('Reshape', [padRows(flatTargets, 1), chunkShape([])]);

  const body = g.child('loss_chunk');
  const chunkStates = body.input('chunk_states', source.type, ['rows', source.width]);
  const chunkTargets = body.input('chunk_targets', 'int32', ['rows']);
  const results = logitLosses(body, source.logits(body, chunkStates), chunkTargets, vocabularySize, entropy);
  body.output(results.loss, 'chunk_loss', 'float32', ['rows']);
  if (results.entropy !== null) body.output(results.entropy, 'chunk_entropy', 'float32', ['rows']);

  const [loss = '', entropies = ''] = g.nodes(
    'Scan',
    [stateChunks, targetChunks],
    entropy ? [true, true] : [true],
    {
      attributes: { num_scan_inputs: int(2), body: subgraph(body.build()) },
    },
  );
  const unchunk = (x: Value): Value =>
    g.node('Reshape', [g.node('Slice', [reshape(g, x, [-1]), zero, count]), shape]);
  return { loss: unchunk(loss), entropy: entropy ? unchunk(entropies) : null };
}
