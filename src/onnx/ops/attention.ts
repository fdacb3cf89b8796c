/**
 * Causal attention. Three forms of one function: ONNX Runtime's GroupQueryAttention for short rows, the same
 * operator block by block for long ones (it computes the whole square of scores, of which a causal row needs
 * half), and standard operators where the fused one does not fit, or is to be differentiated.
 */
import { type GraphBuilder, given, subgraph, type Value } from '../graph.js';
import { blockedRows } from './attention-blocks.js';
import {
  type Attend,
  type AttentionContext,
  type AttentionShape,
  fusedAttention,
  headWidths,
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
export const causalAttention: Attend = (g, source, shape, context) => {
  if (context.form === 'grouped') return halfForms(g, source, shape, context);
  if (g.tape !== null && keepsShares(context)) return keptAttention(g, source, shape, context);
  const output = isFused(context, shape)
    ? fusedForms(g, source, shape, context)
    : plainAttention(g, source, shape, context);
  recordAttention(g, source, output, shape, context);
  return output;
};

/** In 16 bits where the fused operator fits, else in float32 by blocks. */
const halfForms: Attend = (g, source, shape, context) => {
  if (isGrouped(g, shape, context)) {
    const output = grouped(g, source, shape, context, null);
    recordAttention(g, source, output, shape, context);
    return output;
  }
  const wide = { query: widen(g, source.query), key: widen(g, source.key), value: widen(g, source.value) };
  return narrow(g, keptAttention(g, wide, shape, context));
};

/** The fused operator, by blocks for long rows. */
const fusedForms: Attend = (g, source, shape, context) => {
  const outputShape = ['batch', 'length', shape.heads * shape.headSize];

  const short = g.child('short_rows');
  const square = fusedAttention(short, { ...source, pastKey: null, pastValue: null, ...context }, shape);
  short.output(square, 'short_attention', 'float32', outputShape);

  const long = g.child('long_rows');
  const rows = blockedRows(long, source, shape, context);
  long.output(rows, 'long_attention', 'float32', outputShape);

  return g.node('If', [given(context.isLong, 'bound of long rows')], {
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
  const [query, key, value] = split(g, packed, headWidths(shape), 2);
  return causalAttention(g, { query, key, value }, shape, context);
}
