/**
 * The loss head: per-token cross-entropy over chunks of rows, so that its memory does not grow with the
 * vocabulary. Logits stay inside.
 */

import { contrib, type GraphBuilder, given, int, subgraph, type TensorType, type Value } from '../graph.js';
import { typeNumbers } from '../types.js';
import { fixedBatch } from './attention-context.js';
import { castTo } from './cast.js';
import { logitLosses } from './cross-entropy.js';
import { linear } from './dense.js';
import { reshape, slice, toEnd } from './shape.js';

/** Bytes of logits that one chunk may take. */
export const chunkBytes = 64 * 2 ** 20;

/** The same on a GPU: products large enough to fill it. */
export const deviceChunkBytes = 256 * 2 ** 20;

/** Rows of float32 logits that fit `chunkBytes`; at least one. */
export const chunkRows = (vocabularySize: number, bytes = chunkBytes): number =>
  Math.max(1, Math.floor(bytes / (4 * vocabularySize)));

export interface HeadWeights {
  /** [V, H], in the outermost graph; float32, or the body's float type for a mixed product. */
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
  /** float32 [B, T − 1], 1 where the token is the likeliest; null unless asked for. */
  readonly greedy: Value | null;
}

/** What a head is asked for beside losses, and the most rows of logits that are there at a time. */
export interface HeadOptions {
  readonly entropy: boolean;
  readonly greedy?: boolean;
  readonly rowsPerChunk?: number;
}

/**
 * How hidden states of 16 bits become float32 logits. `float32`: both factors cast to float32; TF32 holds them exactly,
 * so a tensor core's product has the same terms. `mixed`: GemmFloat8, whose CUDA kernel multiplies 16-bit factors into
 * float32 (it takes more than its name says), at the full 16-bit rate and without a float32 copy of the weight.
 */
export type HeadProduct = 'float32' | 'mixed';

/**
 * The same in a graph for one batch shape: chunks are cut by constants and unrolled, which leaves no control flow.
 * hidden [B, T, H] of the body's float type; losses [B, T − 1] float32.
 */
export function unrolledLossHead(
  g: GraphBuilder,
  hidden: Value,
  ids: Value,
  head: HeadWeights,
  options: HeadOptions & { readonly product?: HeadProduct },
): HeadOutputs {
  const { entropy, greedy = false, product = 'float32' } = options;
  const { rowsPerChunk = chunkRows(head.vocabularySize, deviceChunkBytes) } = options;
  const questions = { vocabularySize: head.vocabularySize, entropy, greedy };
  const { rows, length } = fixedBatch(g);
  const count = rows * (length - 1);
  const states = reshape(g, slice(g, hidden, 1, 0, length - 1), [count, head.hiddenSize]);
  const targets = reshape(g, slice(g, ids, 1, 1, length), [count]);
  const chunks = Math.ceil(count / rowsPerChunk);
  const size = Math.ceil(count / chunks);
  const made = Array.from({ length: chunks }, (_, chunk) => {
    const from = chunk * size;
    const to = Math.min(count, from + size);
    const logits = deviceLogits(g, slice(g, states, 0, from, to), head, product);
    return logitLosses(g, logits, slice(g, targets, 0, from, to), questions);
  });
  const joined = (parts: readonly Value[]): Value => {
    const all =
      parts.length === 1
        ? given(parts[0], 'chunk')
        : g.node('Concat', parts, { attributes: { axis: int(0) } });
    return reshape(g, all, [rows, length - 1]);
  };
  return {
    loss: joined(made.map(({ loss }) => loss)),
    entropy: entropy ? joined(made.map((part) => given(part.entropy, 'entropies'))) : null,
    greedy: greedy ? joined(made.map((part) => given(part.greedy, 'likeliest tokens'))) : null,
  };
}

function deviceLogits(g: GraphBuilder, states: Value, head: HeadWeights, product: HeadProduct): Value {
  if (g.float === 'float32') return linear(g, states, head.weight, head.bias);
  if (product === 'float32') {
    return linear(g, castTo(g, states, 'float32'), head.weight, head.bias);
  }
  return g.node('GemmFloat8', [states, head.weight], {
    domain: contrib,
    attributes: { transB: int(1), dtype: int(typeNumbers.float32) },
  });
}

/** hidden [B, T, H] float32 (final norm applied) and ids [B, T] int32 → losses of tokens 1..T−1, by `chunkedLosses`. */
export function chunkedLossHead(
  g: GraphBuilder,
  hidden: Value,
  ids: Value,
  head: HeadWeights,
  options: HeadOptions,
): HeadOutputs {
  const source: LogitSource = {
    width: head.hiddenSize,
    type: 'float32',
    logits: (body, chunk) => linear(body, chunk, head.weight, head.bias),
  };
  return chunkedLosses(g, { states: hidden, ids }, source, head.vocabularySize, options);
}

/** Ids, padded as float64, which holds every int32: CUDA pads no int32. */
export function padIds(g: GraphBuilder, ids: Value, pad: (x: Value) => Value): Value {
  const doubles = castTo(g, ids, 'float64');
  return castTo(g, pad(doubles), 'int32');
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
 * of at most `rowsPerChunk`; the last few rows of the last chunk are zero padding.
 */
export function chunkedLosses(
  g: GraphBuilder,
  { states, ids }: { readonly states: Value; readonly ids: Value },
  source: LogitSource,
  vocabularySize: number,
  { entropy, greedy = false, rowsPerChunk: rows = chunkRows(vocabularySize) }: HeadOptions,
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
  const targetChunks = g.node('Reshape', [padIds(g, flatTargets, (x) => padRows(x, 1)), chunkShape([])]);

  const body = g.child('loss_chunk');
  const chunkStates = body.input('chunk_states', source.type, ['rows', source.width]);
  const chunkTargets = body.input('chunk_targets', 'int32', ['rows']);
  const logits = source.logits(body, chunkStates);
  const results = logitLosses(body, logits, chunkTargets, { vocabularySize, entropy, greedy });
  body.output(results.loss, 'chunk_loss', 'float32', ['rows']);
  if (results.entropy !== null) body.output(results.entropy, 'chunk_entropy', 'float32', ['rows']);
  if (results.greedy !== null) body.output(results.greedy, 'chunk_greedy', 'float32', ['rows']);

  const outputs = g.nodes(
    'Scan',
    [stateChunks, targetChunks],
    [true, ...(entropy ? [true] : []), ...(greedy ? [true] : [])],
    {
      attributes: { num_scan_inputs: int(2), body: subgraph(body.build()) },
    },
  );
  const unchunk = (x: Value): Value =>
    g.node('Reshape', [g.node('Slice', [reshape(g, x, [-1]), zero, count]), shape]);
  const output = (index: number): Value => unchunk(given(outputs[index], 'losses'));
  return {
    loss: output(0),
    entropy: entropy ? output(1) : null,
    greedy: greedy ? output(entropy ? 2 : 1) : null,
  };
}
