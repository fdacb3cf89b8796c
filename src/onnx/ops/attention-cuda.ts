/**
 * Causal attention by the fused operators of the CUDA provider, in a graph for one batch shape:
 * - GroupQueryAttention (float16, bfloat16): FlashAttention, windows, query, key and value in one piece, rotary positions
 *   inside. It takes no mask, so it serves rows whose documents see each other.
 * - ONNX's Attention (float32 too, heads of any size): a mask keeps documents apart and makes windows.
 * PagedAttention would keep documents apart by their lengths, without a mask, but demands that its caches are one
 * buffer as inputs and outputs of the graph, which the Node binding cannot arrange. MultiHeadAttention asks for cuDNN.
 */
import { contrib, float, type GraphBuilder, int, type Value } from '../graph.js';
import {
  type AttentionContext,
  type AttentionShape,
  fixedBatch,
  headWidths,
  type QueryKeyValue,
} from './attention-context.js';
import { type RotaryTables, rotate } from './rotary.js';
import { split } from './shape.js';

/** Query, key and value side by side, [B, T, (heads + 2·kvHeads)·headSize], or apart. */
export type AttentionSource = { readonly packed: Value } | QueryKeyValue;

/** Rotary positions that query and key have yet to be given. */
export interface Rotation {
  readonly tables: RotaryTables;
  /** Entries of a head that rotate: even. */
  readonly dimensions: number;
}

/** → [B, T, heads·headSize]. */
export function cudaAttention(
  g: GraphBuilder,
  source: AttentionSource,
  shape: AttentionShape,
  context: AttentionContext,
  rotation: Rotation | null,
): Value {
  if (!isGrouped(g, shape, context)) return standard(g, turned(g, source, shape, rotation), shape, context);
  if (rotation === null || rotatesInside(shape, rotation))
    return grouped(g, source, shape, context, rotation);
  return grouped(g, turned(g, source, shape, rotation), shape, context, null);
}

/** GroupQueryAttention has 16-bit kernels for heads of a multiple of eight up to 256, and takes no mask. */
export const isGrouped = (
  g: GraphBuilder,
  { headSize }: AttentionShape,
  { bias }: AttentionContext,
): boolean => g.float !== 'float32' && bias === null && headSize % 8 === 0 && headSize <= 256;

/** Inside the operator, heads are of a multiple of 16 and so are the entries that rotate. */
const rotatesInside = ({ headSize }: AttentionShape, { dimensions }: Rotation): boolean =>
  headSize % 16 === 0 && dimensions % 16 === 0;

/** The present outputs are asked for though nobody reads them: the CUDA kernel writes there whether or not they exist. */
export function grouped(
  g: GraphBuilder,
  source: AttentionSource,
  shape: AttentionShape,
  { lastPositions, totalLength }: AttentionContext,
  rotation: Rotation | null,
): Value {
  const [query, key, value] =
    'packed' in source ? [source.packed, null, null] : [source.query, source.key, source.value];
  const tables = rotation === null ? [] : [rotation.tables.cos, rotation.tables.sin];
  const [output] = g.nodes(
    'GroupQueryAttention',
    [query, key, value, null, null, lastPositions, totalLength, ...tables],
    [true, true, true],
    {
      domain: contrib,
      attributes: {
        num_heads: int(shape.heads),
        kv_num_heads: int(shape.kvHeads),
        scale: float(shape.scale),
        ...(rotation === null ? {} : { do_rotary: int(1) }),
        ...(shape.window === null ? {} : { local_window_size: int(shape.window) }),
      },
    },
  );
  return output;
}

/** Query, key and value apart, and rotated. */
function turned(
  g: GraphBuilder,
  source: AttentionSource,
  { heads, kvHeads, headSize }: AttentionShape,
  rotation: Rotation | null,
): QueryKeyValue {
  const apart = (): QueryKeyValue => {
    if (!('packed' in source)) return source;
    const widths = headWidths({ heads, kvHeads, headSize });
    const [query, key, value] = split(g, source.packed, widths, 2);
    return { query, key, value };
  };
  const { query, key, value } = apart();
  if (rotation === null) return { query, key, value };
  const turn = (x: Value, count: number): Value =>
    rotate(g, x, rotation.tables, { heads: count, headSize, dimensions: rotation.dimensions });
  return { query: turn(query, heads), key: turn(key, kvHeads), value };
}

/** ONNX's own Attention (opset 23), with a mask where more than order in time counts. */
function standard(
  g: GraphBuilder,
  { query, key, value }: QueryKeyValue,
  { heads, kvHeads, window, scale }: AttentionShape,
  context: AttentionContext,
): Value {
  const mask = visible(g, window, context);
  return g.node('Attention', [query, key, value, ...(mask === null ? [] : [mask])], {
    attributes: {
      q_num_heads: int(heads),
      kv_num_heads: int(kvHeads),
      is_causal: int(1),
      scale: float(scale),
    },
  });
}

/** Pairs of tokens that may see each other, bool [1 or B, 1, T, T]; null where nothing but order in time counts. */
function visible(g: GraphBuilder, window: number | null, context: AttentionContext): Value | null {
  const { length } = fixedBatch(g);
  if (window === null || window >= length) return context.bias;
  const known = context.masks.get(window);
  if (known !== undefined) return known;
  const positions = Array.from({ length }, (_, t) => t);
  const near = g.node('Less', [
    g.node('Unsqueeze', [g.int32s(positions), g.int64s([1])]),
    g.node('Unsqueeze', [g.int32s(positions.map((t) => t + window)), g.int64s([0])]),
  ]);
  const inWindow = g.node('Unsqueeze', [near, g.int64s([0, 1])]);
  const made = context.bias === null ? inWindow : g.node('And', [context.bias, inWindow]);
  context.masks.set(window, made);
  return made;
}
