/**
 * Gradients of causal attention. The shares are computed again, block of queries by block of queries, as
 * FlashAttention does (Dao et al. 2022, section 3.1): nothing of the square of scores is kept from the forward, and
 * half of it is never computed. With D = Σ dO·O of a row and head:
 *   dV = Pᵀ·dO,  dS = P ⊙ (dO·Vᵀ − D),  dQ = scale·dS·K,  dK = scale·dSᵀ·Q.
 */
import { contrib, float, type GraphBuilder, int, type Value } from '../graph.js';
import type { AttentionContext, AttentionShape } from './attention-context.js';
import { causalMask } from './attention-plain.js';
import { slice, transpose } from './shape.js';

interface Operands {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
  readonly output: Value;
  readonly dOutput: Value;
}

/** From here on a block for every `blockRows` queries, eight at most; below, the whole square at once. */
const longRow = 256;
const blockRows = 128;
const maxBlocks = 8;

function blocksOf(length: number | null): readonly (readonly [number, number])[] | null {
  if (length === null || length < longRow) return null;
  const count = Math.min(maxBlocks, Math.ceil(length / blockRows));
  const bound = (index: number): number => Math.floor((length * index) / count);
  return Array.from({ length: count }, (_, index) => [bound(index), bound(index + 1)]);
}

/** a · b over the last two axes, either of them transposed, times alpha. */
const product = (g: GraphBuilder, a: Value, b: Value, trans: 'none' | 'a' | 'b', alpha = 1): Value =>
  g.node('FusedMatMul', [a, b], {
    domain: contrib,
    attributes: {
      transA: int(trans === 'a' ? 1 : 0),
      transB: int(trans === 'b' ? 1 : 0),
      alpha: float(alpha),
    },
  });

/** → gradients of query [B, T, heads·headSize], key and value [B, T, kvHeads·headSize]. */
export function attentionGradient(
  g: GraphBuilder,
  operands: Operands,
  shape: AttentionShape,
  context: AttentionContext,
): [Value, Value, Value] {
  const { kvHeads, headSize } = shape;
  const group = shape.heads / kvHeads;
  const shaped = (x: Value, sizes: readonly number[]): Value => g.node('Reshape', [x, g.int64s(sizes)]);
  // [B, kvHeads, group, T, headSize] and [B, kvHeads, T, headSize].
  const queries = (x: Value): Value =>
    transpose(g, shaped(x, [0, 0, kvHeads, group, headSize]), [0, 2, 3, 1, 4]);
  const keys = (x: Value): Value => transpose(g, shaped(x, [0, 0, kvHeads, headSize]), [0, 2, 1, 3]);
  const [query, dOutput] = [queries(operands.query), queries(operands.dOutput)];
  const [key, value] = [keys(operands.key), keys(operands.value)];
  const weighted = shaped(g.node('Mul', [operands.output, operands.dOutput]), [
    0,
    0,
    kvHeads,
    group,
    headSize,
  ]);
  const rowSums = transpose(g, g.node('ReduceSum', [weighted, g.int64s([4])]), [0, 2, 3, 1, 4]);
  const mask = causalMask(g, shape.window, context);
  const maskRank = context.bias === null ? 2 : 5;

  const block = (start: number, end: number, whole: boolean) => {
    const from = whole || shape.window === null ? 0 : Math.max(0, start - shape.window + 1);
    const cut = (x: Value, axis: number, low: number): Value => (whole ? x : slice(g, x, axis, low, end));
    // A group's queries share their key-value head: one matrix of group·rows.
    const joined = (x: Value, width: number): Value => shaped(x, [0, kvHeads, -1, width]);
    const blockQuery = joined(cut(query, 3, start), headSize);
    const blockOutput = joined(cut(dOutput, 3, start), headSize);
    const blockKey = cut(key, 2, from);
    const blockValue = cut(value, 2, from);
    const blockMask = cut(cut(mask, maskRank - 2, start), maskRank - 1, from);
    const blockSums = g.node('Reshape', [cut(rowSums, 3, start), g.int64s([0, kvHeads, -1, 1])]);

    const scores = product(g, blockQuery, blockKey, 'b', shape.scale);
    const rows = g.node('Shape', [scores]);
    const grouped = g.node('Reshape', [scores, groupedShape(g, cut(query, 3, start), blockKey)]);
    const shares = g.node('Reshape', [
      g.node('Softmax', [g.node('Add', [grouped, blockMask])], { attributes: { axis: int(-1) } }),
      rows,
    ]);
    const dShares = product(g, blockOutput, blockValue, 'b');
    const dScores = g.node('Mul', [g.node('Sub', [dShares, blockSums]), shares]);
    return {
      from,
      end,
      dQuery: shaped(product(g, dScores, blockKey, 'none', shape.scale), [0, kvHeads, group, -1, headSize]),
      dKey: product(g, dScores, blockQuery, 'a', shape.scale),
      dValue: product(g, shares, blockOutput, 'a'),
    };
  };

  const bounds = blocksOf(context.staticLength);
  const blocks =
    bounds === null ? [block(0, 0, true)] : bounds.map(([start, end]) => block(start, end, false));
  const length = context.staticLength ?? 0;
  const total = (pieces: readonly { piece: Value; from: number; end: number }[]): Value => {
    if (bounds === null) return pieces[0]?.piece ?? '';
    const padded = pieces.map(({ piece, from, end }) =>
      from === 0 && end === length
        ? piece
        : g.node('Pad', [piece, g.int64s([from, length - end]), '', g.int64s([2])]),
    );
    return g.node('Sum', padded);
  };
  const dQuery =
    bounds === null
      ? (blocks[0]?.dQuery ?? '')
      : g.node(
          'Concat',
          blocks.map((made) => made.dQuery),
          { attributes: { axis: int(3) } },
        );
  const keyRows = (x: Value): Value => shaped(transpose(g, x, [0, 2, 1, 3]), [0, 0, kvHeads * headSize]);
  return [
    shaped(transpose(g, dQuery, [0, 3, 1, 2, 4]), [0, 0, shape.heads * headSize]),
    keyRows(total(blocks.map(({ dKey, from, end }) => ({ piece: dKey, from, end })))),
    keyRows(total(blocks.map(({ dValue, from, end }) => ({ piece: dValue, from, end })))),
  ];
}

/** Shape [B, kvHeads, group, rows, keys] of scores, from query [B, kvHeads, group, rows, d] and key [B, kvHeads, keys, d]. */
function groupedShape(g: GraphBuilder, query: Value, key: Value): Value {
  const head = g.node('Slice', [g.node('Shape', [query]), g.int64s([0]), g.int64s([4])]);
  const tail = g.node('Slice', [g.node('Shape', [key]), g.int64s([2]), g.int64s([3])]);
  return g.node('Concat', [head, tail], { attributes: { axis: int(0) } });
}
