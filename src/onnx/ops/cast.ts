/** Between float32 and the body's float type, with gradients. Nothing where the body is float32 itself. */
import { type GraphBuilder, int, type Value } from '../graph.js';
import { typeNumbers } from '../types.js';

/** x of any type → `type`, without a gradient. */
export const castTo = (g: GraphBuilder, x: Value, type: keyof typeof typeNumbers): Value =>
  g.node('Cast', [x], { attributes: { to: int(typeNumbers[type]) } });

/** x of the body's float type → float32. */
export function widen(g: GraphBuilder, x: Value): Value {
  if (g.float === 'float32') return x;
  const y = castTo(g, x, 'float32');
  g.record([x], [y], ([dy]) => (dy ? [castTo(g, dy, g.float)] : []));
  return y;
}

/** x float32 → the body's float type. */
export function narrow(g: GraphBuilder, x: Value): Value {
  if (g.float === 'float32') return x;
  const y = castTo(g, x, g.float);
  g.record([x], [y], ([dy]) => (dy ? [castTo(g, dy, 'float32')] : []));
  return y;
}
