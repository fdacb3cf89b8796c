/** Causal attention, fused and in standard operators. */
import { contrib, float, type GraphBuilder, int, type Value } from '../graph.js';

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Tokens that a token may see, itself included; null for all before it. */
  readonly window: number | null;
  /** Multiplies the scores: 1/√headSize in most models. */
  readonly scale: number;
}

/** What every layer's attention shares; made once a graph. */
export interface AttentionContext {
  /** Scalar int32: T. */
  readonly totalLength: Value;
  /** [B] int32: T − 1 in every row. */
  readonly lastPositions: Value;
  /** Additive float32 [B, 1, T, T] that keeps documents apart, or null. */
  readonly bias: Value | null;
}

/** Added to a forbidden score: far below any score, and finite, so that a tile of nothing else stays defined. */
const forbidden = -1e30;

/**
 * ids [B, T] int32 and, to keep documents apart, documentIds [B, T] int32. The bias forbids pairs of tokens
 * of different documents; order in time is the attention operator's business.
 */
export function attentionContext(g: GraphBuilder, ids: Value, documentIds: Value | null): AttentionContext {
  const shape = g.node('Shape', [ids]);
  const batch = g.node('Slice', [shape, g.int64s([0]), g.int64s([1])]);
  const length = g.node('Gather', [shape, g.int64(1)]);
  const totalLength = g.node('Cast', [length], { attributes: { to: int(6) } });
  const lastPosition = g.node('Sub', [totalLength, g.int32(1)]);
  const lastPositions = g.node('Expand', [lastPosition, batch]);
  if (documentIds === null) return { totalLength, lastPositions, bias: null };
  const rows = g.node('Unsqueeze', [documentIds, g.int64s([1, 3])]);
  const columns = g.node('Unsqueeze', [documentIds, g.int64s([1, 2])]);
  const same = g.node('Equal', [rows, columns]);
  const bias = g.node('Where', [same, g.float32(0), g.float32(forbidden)]);
  return { totalLength, lastPositions, bias };
}

/** query [B, T, heads·headSize], key and value [B, T, kvHeads·headSize] → [B, T, heads·headSize]. */
export function causalAttention(
  g: GraphBuilder,
  query: Value,
  key: Value,
  value: Value,
  shape: AttentionShape,
  context: AttentionContext,
): Value {
  const [output = ''] = g.nodes(
    'GroupQueryAttention',
    [query, key, value, '', '', context.lastPositions, context.totalLength, '', '', '', context.bias ?? ''],
    [true],
    {
      domain: contrib,
      attributes: {
        num_heads: int(shape.heads),
        kv_num_heads: int(shape.kvHeads),
        scale: float(shape.scale),
        ...(shape.window === null ? {} : { local_window_size: int(shape.window) }),
      },
    },
  );
  return output;
}

/** The same from query, key and value side by side: [B, T, (heads + 2·kvHeads)·headSize]. */
export const packedCausalAttention = (
  g: GraphBuilder,
  packed: Value,
  shape: AttentionShape,
  context: AttentionContext,
): Value => causalAttention(g, packed, '', '', shape, context);
