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

/**
 * Tables for positions 0..T−1, computed in float64 inside the graph: position times frequency loses up to
 * 1e-4 rad at position 2048 in float32. `frequencies` are radians a position, `scale` multiplies both tables.
 * ids [B, T]; `positionIds` [B, T] int32 where positions restart, else null. With `longestRow` the tables end there, so that
 * a longer row fails when the graph runs instead of turning by frequencies that are not its own.
 */
export function rotaryTables(
  g: GraphBuilder,
  ids: Value,
  positionIds: Value | null,
  frequencies: Float64Array,
  scale: number,
  longestRow: number | null = null,
): RotaryTables {
  if (g.batch !== null) return fixedTables(g, g.batch.length, positionIds, frequencies, scale);
  const shape = g.node('Shape', [ids]);
  const length = g.node('Gather', [shape, g.int64(1)]);
  const range = g.node('Range', [g.int64(0), length, g.int64(1)]);
  const rows = longestRow === null ? range : g.node('Range', [g.int64(0), g.int64(longestRow), g.int64(1)]);
  const column = g.node('Unsqueeze', [
    g.node('Cast', [rows], { attributes: { to: int(11) } }),
    g.int64s([1]),
  ]);
  const angles = g.node('Mul', [
    column,
    g.float64s('rotary.frequencies', frequencies, [1, frequencies.length]),
  ]);
  const table = (op: 'Cos' | 'Sin'): Value => {
    const exact = g.node(op, [angles]);
    const scaled = scale === 1 ? exact : g.node('Mul', [exact, g.float64(scale)]);
    return castTo(g, scaled, g.float);
  };
  const positions =
    positionIds === null
      ? g.node('Expand', [range, shape])
      : g.node('Cast', [positionIds], { attributes: { to: int(7) } });
  const sin = table('Sin');
  return { cos: table('Cos'), sin, positions, backSin: g.tape === null ? null : g.node('Neg', [sin]) };
}

/** The same where T is known: the tables are constants of the graph, rounded once to its float type. */
function fixedTables(
  g: GraphBuilder,
  length: number,
  positionIds: Value | null,
  frequencies: Float64Array,
  scale: number,
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
    positions:
      positionIds === null ? g.int64s([0]) : g.node('Cast', [positionIds], { attributes: { to: int(7) } }),
    backSin: g.tape === null ? null : g.node('Neg', [sin]),
  };
}

/** Rotates x [B, T, heads·headSize]; only the first 2·frequencies entries of each head when partial. */
export function rotate(
  g: GraphBuilder,
  x: Value,
  tables: RotaryTables,
  heads: number,
  headSize: number,
  rotaryDimensions: number,
): Value {
  const partial =
    rotaryDimensions === headSize
      ? {}
      : { num_heads: int(heads), rotary_embedding_dim: int(rotaryDimensions) };
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
