/**
 * Causal attention that is to be differentiated, block of queries by block of queries, as FlashAttention computes it
 * (Dao et al. 2022, section 3.1): half of the square of scores is never computed. With D = Σ dO·O of a row and head:
 *   dV = Pᵀ·dO,  dS = P ⊙ (dO·Vᵀ − D),  dQ = scale·dS·K,  dK = scale·dSᵀ·Q.
 * Rows of up to `keptLength` keep their shares P from the forward; longer ones compute them again, so that memory does
 * not grow with the square of the length. All of it is float32, in a 16-bit body too: scores would be rounded otherwise, and by
 * separate operators a block of them costs fewer bytes than casts to and fro.
 */
import { contrib, float, type GraphBuilder, given, int, type Value } from '../graph.js';
import type { Attend, AttentionContext, AttentionShape, QueryKeyValue } from './attention-context.js';
import { causalMask } from './attention-plain.js';
import { narrow, widen } from './cast.js';
import { transpose } from './shape.js';

/** Queries [start, end) and the keys [from, end) that they see. Null bounds: the whole row, of unknown length. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly from: number;
}

/** Longest row whose shares are kept: at 512 they take a sixth of what a layer's other activations do. */
const keptLength = 512;
/** From here on a block for every `blockRows` queries, eight at most; below, the whole square at once. */
const longRow = 256;
const blockRows = 128;
const maxBlocks = 8;

/** Whether the forward is done here, by blocks, and not by the fused operator. */
export const keepsShares = ({ staticLength }: AttentionContext): boolean =>
  staticLength !== null && staticLength <= keptLength;

function spansOf(length: number | null, window: number | null): readonly (Span | null)[] {
  if (length === null || length < longRow) return [null];
  const count = Math.min(maxBlocks, Math.ceil(length / blockRows));
  const bound = (index: number): number => Math.floor((length * index) / count);
  return Array.from({ length: count }, (_, index) => {
    const start = bound(index);
    const from = window === null ? 0 : Math.max(0, start - window + 1);
    return { start, end: bound(index + 1), from };
  });
}

/** x[start:end] along one axis, of float32 and not recorded. */
const slice = (g: GraphBuilder, x: Value, axis: number, start: number, end: number): Value =>
  g.node('Slice', [x, g.int64s([start]), g.int64s([end]), g.int64s([axis])]);

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

/** Attention of one layer: its heads apart, and what is computed of them. */
class BlockedAttention {
  readonly #g: GraphBuilder;
  readonly #shape: AttentionShape;
  readonly #context: AttentionContext;
  readonly #group: number;
  /** [B, kvHeads, group, T, headSize]. */
  readonly #query: Value;
  /** [B, kvHeads, T, headSize]. */
  readonly #key: Value;
  readonly #value: Value;
  readonly #mask: Value;
  readonly spans: readonly (Span | null)[];

  constructor(
    g: GraphBuilder,
    { query, key, value }: QueryKeyValue,
    shape: AttentionShape,
    context: AttentionContext,
  ) {
    this.#g = g;
    this.#shape = shape;
    this.#context = context;
    this.#group = shape.heads / shape.kvHeads;
    this.#query = this.#queries(query);
    this.#key = this.#keys(key);
    this.#value = this.#keys(value);
    this.#mask = causalMask(g, shape.window, context);
    this.spans = spansOf(context.staticLength, shape.window);
  }

  /** P of a block: [B, kvHeads, group · rows, keys]. A group's queries share a key-value head: one matrix. */
  shares(span: Span | null): Value {
    const g = this.#g;
    const query = this.#rows(this.#query, span);
    const key = this.#seen(this.#key, span);
    const scores = product(g, this.#joined(query), key, 'b', this.#shape.scale);
    const grouped = g.node('Reshape', [scores, this.#groupedShape(query, key)]);
    const rank = this.#context.bias === null ? 2 : 5;
    const mask =
      span === null
        ? this.#mask
        : slice(g, slice(g, this.#mask, rank - 2, span.start, span.end), rank - 1, span.from, span.end);
    const softmax = g.node('Softmax', [g.node('Add', [grouped, mask])], { attributes: { axis: int(-1) } });
    return g.node('Reshape', [softmax, g.node('Shape', [scores])]);
  }

  /** → [B, T, heads · headSize]. */
  output(shares: readonly Value[]): Value {
    const blocks = this.spans.map((span, index) =>
      product(this.#g, given(shares[index], 'shares of a block'), this.#seen(this.#value, span), 'none'),
    );
    return this.#fromHeads(blocks.map((block) => this.#grouped(block)));
  }

  /** → gradients of query, key and value, of their shapes. */
  gradients(output: Value, dOutput: Value, shares: readonly Value[] | null): [Value, Value, Value] {
    const g = this.#g;
    const { kvHeads, headSize } = this.#shape;
    const weighted = g.node('Reshape', [
      g.node('Mul', [output, dOutput]),
      g.int64s([0, 0, kvHeads, this.#group, headSize]),
    ]);
    const sums = transpose(g, g.node('ReduceSum', [weighted, g.int64s([4])]), [0, 2, 3, 1, 4]);
    const dHeads = this.#queries(dOutput);
    const blocks = this.spans.map((span, index) => {
      const dRows = this.#joined(this.#rows(dHeads, span));
      const rowSums = g.node('Reshape', [this.#rows(sums, span), g.int64s([0, kvHeads, -1, 1])]);
      const p = shares?.[index] ?? this.shares(span);
      const dShares = product(g, dRows, this.#seen(this.#value, span), 'b');
      const dScores = g.node('Mul', [g.node('Sub', [dShares, rowSums]), p]);
      const { scale } = this.#shape;
      return {
        dQuery: this.#grouped(product(g, dScores, this.#seen(this.#key, span), 'none', scale)),
        dKey: product(g, dScores, this.#joined(this.#rows(this.#query, span)), 'a', scale),
        dValue: product(g, p, dRows, 'a'),
      };
    });
    return [
      this.#fromHeads(blocks.map(({ dQuery }) => dQuery)),
      this.#fromKeys(blocks.map(({ dKey }) => dKey)),
      this.#fromKeys(blocks.map(({ dValue }) => dValue)),
    ];
  }

  #queries(x: Value): Value {
    const { kvHeads, headSize } = this.#shape;
    const split = this.#g.node('Reshape', [x, this.#g.int64s([0, 0, kvHeads, this.#group, headSize])]);
    return transpose(this.#g, split, [0, 2, 3, 1, 4]);
  }

  #keys(x: Value): Value {
    const { kvHeads, headSize } = this.#shape;
    const split = this.#g.node('Reshape', [x, this.#g.int64s([0, 0, kvHeads, headSize])]);
    return transpose(this.#g, split, [0, 2, 1, 3]);
  }

  /** A block's rows of [B, kvHeads, group, T, …]. */
  #rows(x: Value, span: Span | null): Value {
    return span === null ? x : slice(this.#g, x, 3, span.start, span.end);
  }

  /** The keys or values that a block sees, of [B, kvHeads, T, …]. */
  #seen(x: Value, span: Span | null): Value {
    return span === null ? x : slice(this.#g, x, 2, span.from, span.end);
  }

  /** [B, kvHeads, group, rows, headSize] → [B, kvHeads, group · rows, headSize]. */
  #joined(x: Value): Value {
    const { kvHeads, headSize } = this.#shape;
    return this.#g.node('Reshape', [x, this.#g.int64s([0, kvHeads, -1, headSize])]);
  }

  #grouped(x: Value): Value {
    const { kvHeads, headSize } = this.#shape;
    return this.#g.node('Reshape', [x, this.#g.int64s([0, kvHeads, this.#group, -1, headSize])]);
  }

  /** Shape [B, kvHeads, group, rows, keys] of scores. */
  #groupedShape(query: Value, key: Value): Value {
    const g = this.#g;
    const part = (x: Value, from: number, to: number): Value =>
      g.node('Slice', [g.node('Shape', [x]), g.int64s([from]), g.int64s([to])]);
    return g.node('Concat', [part(query, 0, 4), part(key, 2, 3)], { attributes: { axis: int(0) } });
  }

  /** Blocks of [B, kvHeads, group, rows, headSize] → [B, T, heads · headSize]. */
  #fromHeads(blocks: readonly Value[]): Value {
    const g = this.#g;
    const joined =
      blocks.length === 1
        ? given(blocks[0], 'block')
        : g.node('Concat', blocks, { attributes: { axis: int(3) } });
    const { heads, headSize } = this.#shape;
    const rows = transpose(g, joined, [0, 3, 1, 2, 4]);
    return g.node('Reshape', [rows, g.int64s([0, 0, heads * headSize])]);
  }

  /** Sum of blocks of [B, kvHeads, keys seen, headSize] → [B, T, kvHeads · headSize]. */
  #fromKeys(blocks: readonly Value[]): Value {
    const g = this.#g;
    const length = this.#context.staticLength ?? 0;
    const padded = blocks.map((block, index) => {
      const span = this.spans[index] ?? null;
      if (span === null || (span.from === 0 && span.end === length)) return block;
      return g.node('Pad', [block, g.int64s([span.from, length - span.end]), null, g.int64s([2])]);
    });
    const sum = padded.length === 1 ? given(padded[0], 'block') : g.node('Sum', padded);
    const { kvHeads, headSize } = this.#shape;
    return g.node('Reshape', [transpose(g, sum, [0, 2, 1, 3]), g.int64s([0, 0, kvHeads * headSize])]);
  }
}

/**
 * Attention by blocks, recorded; it keeps its shares where rows are short. → [B, T, heads·headSize].
 */
export const keptAttention: Attend = (g, source, shape, context) => {
  const { query, key, value } = source;
  const attention = new BlockedAttention(g, source, shape, context);
  const shares = attention.spans.map((span) => attention.shares(span));
  const output = attention.output(shares);
  g.record([query, key, value], [output], ([dOutput]) =>
    dOutput ? attention.gradients(output, dOutput, keepsShares(context) ? shares : null) : [],
  );
  return output;
};

/** Records attention that was computed otherwise; its shares are computed again on the way back. */
export function recordAttention(
  g: GraphBuilder,
  { query, key, value }: QueryKeyValue,
  output: Value,
  shape: AttentionShape,
  context: AttentionContext,
): void {
  g.record([query, key, value], [output], ([dOutput]) => {
    if (!dOutput) return [];
    const attention = new BlockedAttention(
      g,
      { query: widen(g, query), key: widen(g, key), value: widen(g, value) },
      shape,
      context,
    );
    const made = attention.gradients(widen(g, output), widen(g, dOutput), null);
    return made.map((gradient) => narrow(g, gradient));
  });
}
