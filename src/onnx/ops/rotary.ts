/** Rotary position embedding (Su et al. 2021), halves layout. */
import { contrib, type GraphBuilder, int, type Value } from '../graph.js';
import { castTo } from './cast.js';

/** cos and sin, [T, dimensions/2] of the body's float type; `positions` int64 [B, T], or [1] with the first row's first. */
export interface RotaryTables {
  readonly cos: Value;
  readonly sin: Value;
  readonly positions: Value;
  /** −sin, by which gradients turn back; null unless the graph is to be differentiated. */
  readonly backSin: Value | null;
}

/** Where the tokens of rows stand. */
export interface RowPositions {
  /** [B, T] int32. */
  readonly ids: Value;
  /** [B, T] int32 where positions restart, else null. */
  readonly positionIds: Value | null;
}

/** How positions become angles. */
export interface RotaryRule {
  /** Radians a position. */
  readonly frequencies: Float64Array;
  /** Multiplies both tables. */
  readonly scale: number;
  /** Where the tables end, so that a longer row fails when the graph runs instead of turning by frequencies that are not its own. */
  readonly longestRow?: number | null;
}

/** The heads that rotate. */
export interface RotaryHeads {
  readonly heads: number;
  readonly headSize: number;
  /** Entries of each head that rotate: all, or the first. */
  readonly dimensions: number;
}

/**
 * Tables for positions 0..T−1, computed in float64 inside the graph: position times frequency loses up to
 * 1e-4 rad at position 2048 in float32.
 */
export function rotaryTables(
  g: GraphBuilder,
  { ids, positionIds }: RowPositions,
  rule: RotaryRule,
): RotaryTables {
  const { frequencies, scale, longestRow = null } = rule;
  if (g.batch !== null) return fixedTables(g, g.batch.length, positionIds, rule);
  const shape = g.node('Shape', [ids]);
  const length = g.node('Gather', [shape, g.int64(1)]);
  const range = g.node('Range', [g.int64(0), length, g.int64(1)]);
  const rows = longestRow === null ? range : g.node('Range', [g.int64(0), g.int64(longestRow), g.int64(1)]);
  const column = g.node('Unsqueeze', [castTo(g, rows, 'float64'), g.int64s([1])]);
  const angles = g.node('Mul', [
    column,
    g.float64s('rotary.frequencies', frequencies, [1, frequencies.length]),
  ]);
  const table = (op: 'Cos' | 'Sin'): Value => {
    const exact = g.node(op, [angles]);
    const scaled = scale === 1 ? exact : g.node('Mul', [exact, g.float64(scale)]);
    return castTo(g, scaled, g.float);
  };
  const positions = positionIds === null ? g.node('Expand', [range, shape]) : castTo(g, positionIds, 'int64');
  const sin = table('Sin');
  return { cos: table('Cos'), sin, positions, backSin: g.tape === null ? null : g.node('Neg', [sin]) };
}

/** The same where T is known: the tables are constants of the graph, rounded once to its float type. */
function fixedTables(
  g: GraphBuilder,
  length: number,
  positionIds: Value | null,
  { frequencies, scale }: RotaryRule,
): RotaryTables {
  const half = frequencies.length;
  const table = (name: string, of: (angle: number) => number): Value => {
    const values = Float32Array.from(
      { length: length * half },
      (_, at) => scale * of(Math.floor(at / half) * (frequencies[at % half] ?? 0)),
    );
    return g.floats(`rotary.${name}`, values, [length, half]);
  };
  const sin = table('sin', Math.sin);
  return {
    cos: table('cos', Math.cos),
    sin,
    positions: positionIds === null ? g.int64s([0]) : castTo(g, positionIds, 'int64'),
    backSin: g.tape === null ? null : g.node('Neg', [sin]),
  };
}

/** Rotates x [B, T, heads·headSize]. */
export function rotate(
  g: GraphBuilder,
  x: Value,
  tables: RotaryTables,
  { heads, headSize, dimensions }: RotaryHeads,
): Value {
  const partial =
    dimensions === headSize ? {} : { num_heads: int(heads), rotary_embedding_dim: int(dimensions) };
  const turned = (value: Value, sin: Value): Value =>
    g.node('RotaryEmbedding', [value, tables.positions, tables.cos, sin], {
      domain: contrib,
      attributes: partial,
    });
  const y = turned(x, tables.sin);
  // A rotation's gradient is the rotation by the opposite angle (times the same scale).
  g.record([x], [y], ([dy]) => (dy && tables.backSin !== null ? [turned(dy, tables.backSin)] : []));
  return y;
}
