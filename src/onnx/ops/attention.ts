/**
 * Causal attention. Three forms of one function: ONNX Runtime's GroupQueryAttention for short rows, the same
 * operator block by block for long ones (it computes the whole square of scores, of which a causal row needs
 * half), and standard operators where the fused one does not fit, or is to be differentiated.
 */
import { type GraphBuilder, subgraph, type Value } from '../graph.js';
import { blockedRows } from './attention-blocks.js';
import {
  type Attend,
  type AttentionContext,
  type AttentionShape,
  fusedAttention,
  isFused,
} from './attention-context.js';
import { grouped, isGrouped } from './attention-cuda.js';
import { keepsShares, keptAttention, recordAttention } from './attention-gradient.js';
import { plainAttention } from './attention-plain.js';
import { narrow, widen } from './cast.js';
import { split } from './shape.js';

export {
  type AttentionContext,
  type AttentionForm,
  type AttentionShape,
  attentionContext,
} from './attention-context.js';

/** query [B, T, heads·headSize], key and value [B, T, kvHeads·headSize] → [B, T, heads·headSize]. */
export const causalAttention: Attend = (g, query, key, value, shape, context) => {
  if (context.form === 'grouped') return halfForms(g, query, key, value, shape, context);
  if (g.tape !== null && keepsShares(context)) return keptAttention(g, query, key, value, shape, context);
  const output = isFused(context, shape)
    ? fusedForms(g, query, key, value, shape, context)
    : plainAttention(g, query, key, value, shape, context);
  recordAttention(g, [query, key, value], output, shape, context);
  return output;
};

/** In 16 bits where the fused operator fits, else in float32 by blocks. */
const halfForms: Attend = (g, query, key, value, shape, context) => {
  if (isGrouped(g, shape, context)) {
    const output = grouped(g, { query, key, value }, shape, context, null);
    recordAttention(g, [query, key, value], output, shape, context);
    return output;
  }
  const [wideQuery, wideKey, wideValue] = [widen(g, query), widen(g, key), widen(g, value)];
  return narrow(g, keptAttention(g, wideQuery, wideKey, wideValue, shape, context));
};

/** The fused operator, by blocks for long rows. */
const fusedForms: Attend = (g, query, key, value, shape, context) => {
  const outputShape = ['batch', 'length', shape.heads * shape.headSize];

  const short = g.child('short_rows');
  const [square = ''] = fusedAttention(
    short,
    { query, key, value, pastKey: '', pastValue: '', ...context, bias: context.bias ?? '' },
    shape,
    false,
  );
  short.output(square, 'short_attention', 'float32', outputShape);

  const long = g.child('long_rows');
  const rows = blockedRows(long, query, key, value, shape, context);
  long.output(rows, 'long_attention', 'float32', outputShape);

  return g.node('If', [context.isLong], {
    attributes: { then_branch: subgraph(long.build()), else_branch: subgraph(short.build()) },
  });
};

/** The same from query, key and value side by side: [B, T, (heads + 2·kvHeads)·headSize]. */
export function packedCausalAttention(
  g: GraphBuilder,
  packed: Value,
  shape: AttentionShape,
  context: AttentionContext,
): Value {
  const widths = [shape.heads, shape.kvHeads, shape.kvHeads].map((count) => count * shape.headSize);
  const [query = '', key = '', value = ''] = split(g, packed, widths, 2);
  return causalAttention(g, query, key, value, shape, context);
}
