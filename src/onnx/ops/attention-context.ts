/** What the forms of causal attention share: shapes, lengths, masks, and the fused operator itself. */

import { fatalError } from '../../errors.js';
import {
  type BatchShape,
  contrib,
  float,
  type GraphBuilder,
  int,
  type NodeOptions,
  type Value,
} from '../graph.js';
import { castTo } from './cast.js';

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Tokens that a token may see, itself included; null for all before it. */
  readonly window: number | null;
  /** Multiplies the scores: 1/√headSize in most models. */
  readonly scale: number;
}

/** Tokens [start, end) of every row. */
export interface Block {
  /** [1] int64. */
  readonly start: Value;
  /** [1] int64. */
  readonly end: Value;
  /** Scalar int32: end. */
  readonly totalLength: Value;
  /** [1] int32: end − 1. */
  readonly lastPositions: Value;
}

/**
 * `fused`: GroupQueryAttention, which computes float32 on the CPU alone. `plain`: standard operators, anywhere.
 * `cuda`: the fused operators that have CUDA kernels, in a graph for one batch shape (see `attention-cuda.ts`).
 * `grouped`: GroupQueryAttention in 16 bits where it fits, else float32 by blocks; for graphs that train in 16 bits.
 */
export type AttentionForm = 'fused' | 'plain' | 'cuda' | 'grouped';

/** What every layer's attention shares; made once a graph. */
export interface AttentionContext {
  readonly form: AttentionForm;
  /** [B, T]. */
  readonly ids: Value;
  /** T where it is known when the graph is built: a gradient goes by blocks then. */
  readonly staticLength: number | null;
  /** Scalar int64: T. */
  readonly length: Value;
  /** Scalar int32: T. */
  readonly totalLength: Value;
  /** [B] int32: T − 1 in every row. */
  readonly lastPositions: Value;
  /** [B, 1, T, T] that keeps documents apart, or null: additive float32; for CUDA bool, true where a pair may meet. */
  readonly bias: Value | null;
  /** Scalar bool: rows are long enough for blocks to pay; null in a graph for CUDA. */
  readonly isLong: Value | null;
  readonly blocks: readonly Block[];
  /** Masks of the plain form and of that for CUDA, by window. */
  readonly masks: Map<number | null, Value>;
}

/** query [B, T, heads·headSize], key and value [B, T, kvHeads·headSize]. */
export interface QueryKeyValue {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
}

/** Widths of query, key and value side by side. */
export const headWidths = ({
  heads,
  kvHeads,
  headSize,
}: Pick<AttentionShape, 'heads' | 'kvHeads' | 'headSize'>) =>
  [heads * headSize, kvHeads * headSize, kvHeads * headSize] as const;

/** A form of causal attention → [B, T, heads·headSize]. */
export type Attend = (
  g: GraphBuilder,
  source: QueryKeyValue,
  shape: AttentionShape,
  context: AttentionContext,
) => Value;

/** Added to a forbidden score: far below any score, and finite, so that a tile of nothing else stays defined. */
export const forbidden = -1e30;

/** From here on eight blocks are faster than one square, with one thread and with two (measured, T = 256 to 2048). */
const longRow = 256;
const blockCount = 8;

/**
 * ids [B, T] int32 and, to keep documents apart, documentIds [B, T] int32. The bias forbids pairs of tokens
 * of different documents; order in time is the attention operator's business.
 */
export function attentionContext(
  g: GraphBuilder,
  ids: Value,
  documentIds: Value | null,
  form: AttentionForm,
  staticLength: number | null = null,
): AttentionContext {
  if (form === 'cuda') return fixedContext(g, ids, documentIds);
  const shape = g.node('Shape', [ids]);
  const batch = g.node('Slice', [shape, g.int64s([0]), g.int64s([1])]);
  const length = g.node('Gather', [shape, g.int64(1)]);
  const totalLength = castTo(g, length, 'int32');
  const lastPosition = g.node('Sub', [totalLength, g.int32(1)]);
  return {
    form,
    ids,
    staticLength,
    length,
    totalLength,
    lastPositions: g.node('Expand', [lastPosition, batch]),
    bias: documentIds === null ? null : documentBias(g, documentIds),
    isLong: g.node('GreaterOrEqual', [length, g.int64(longRow)]),
    blocks: blockBounds(g, length, blockCount),
    masks: new Map(),
  };
}

/** For one batch shape: what other graphs compute from the shape is a constant, so that no node is left to the CPU. */
function fixedContext(g: GraphBuilder, ids: Value, documentIds: Value | null): AttentionContext {
  const { rows, length } = fixedBatch(g);
  return {
    form: 'cuda',
    ids,
    staticLength: length,
    length: g.int64(length),
    totalLength: g.int32s([length]),
    lastPositions: g.int32s(Array<number>(rows).fill(length - 1)),
    bias: documentIds === null ? null : sameDocument(g, documentIds),
    isLong: null,
    blocks: [],
    masks: new Map(),
  };
}

/** The batch shape of a graph for CUDA. */
export function fixedBatch(g: GraphBuilder): BatchShape {
  if (g.batch !== null) return g.batch;
  throw fatalError('no-batch-shape', 'a graph for CUDA was begun without its batch shape; report this');
}

/** Cuts T (scalar int64) into `count` blocks whose sizes differ by one at most; none is empty if T ≥ count. */
function blockBounds(g: GraphBuilder, length: Value, count: number): Block[] {
  let start = g.int64s([0]);
  return Array.from({ length: count }, (_, index) => {
    const bound = g.node('Div', [g.node('Mul', [length, g.int64(index + 1)]), g.int64(count)]);
    const totalLength = castTo(g, bound, 'int32');
    const end = g.node('Unsqueeze', [bound, g.int64s([0])]);
    const last = g.node('Sub', [totalLength, g.int32(1)]);
    const block = { start, end, totalLength, lastPositions: g.node('Unsqueeze', [last, g.int64s([0])]) };
    start = end;
    return block;
  });
}

/** Whether two tokens are of one document: bool [B, 1, T, T]. */
function sameDocument(g: GraphBuilder, documentIds: Value): Value {
  const rows = g.node('Unsqueeze', [documentIds, g.int64s([1, 3])]);
  const columns = g.node('Unsqueeze', [documentIds, g.int64s([1, 2])]);
  return g.node('Equal', [rows, columns]);
}

function documentBias(g: GraphBuilder, documentIds: Value): Value {
  return g.node('Where', [sameDocument(g, documentIds), g.float32(0), g.float32(forbidden)]);
}

/** The fused operator takes heads of a multiple of eight. */
export const isFused = ({ form }: AttentionContext, { headSize }: AttentionShape): boolean =>
  form === 'fused' && headSize % 8 === 0;

export interface FusedInputs extends QueryKeyValue {
  /** Of the blocks before, [B, kvHeads, T, headSize]; null for the first. */
  readonly pastKey: Value | null;
  readonly pastValue: Value | null;
  readonly lastPositions: Value;
  readonly totalLength: Value;
  readonly bias: Value | null;
}

/** One GroupQueryAttention node. */
export function fusedAttention(g: GraphBuilder, inputs: FusedInputs, shape: AttentionShape): Value {
  const [output] = g.nodes('GroupQueryAttention', fusedValues(inputs), [true], fusedOptions(shape));
  return output;
}

/** The same with the keys and values so far, [B, kvHeads, T, headSize]. */
export function fusedBlock(
  g: GraphBuilder,
  inputs: FusedInputs,
  shape: AttentionShape,
): { readonly output: Value; readonly key: Value; readonly value: Value } {
  const wanted = [true, true, true] as const;
  const [output, key, value] = g.nodes(
    'GroupQueryAttention',
    fusedValues(inputs),
    wanted,
    fusedOptions(shape),
  );
  return { output, key, value };
}

const fusedValues = (inputs: FusedInputs): (Value | null)[] => {
  const { query, key, value, pastKey, pastValue, lastPositions, totalLength, bias } = inputs;
  return [query, key, value, pastKey, pastValue, lastPositions, totalLength, null, null, null, bias];
};

const fusedOptions = (shape: AttentionShape): NodeOptions => ({
  domain: contrib,
  attributes: {
    num_heads: int(shape.heads),
    kv_num_heads: int(shape.kvHeads),
    scale: float(shape.scale),
    ...(shape.window === null ? {} : { local_window_size: int(shape.window) }),
  },
});
