/**
 * Activation functions, with their gradients. Fused operators unless the graph is to be differentiated. In a 16-bit body the
 * gradients of those with differences of near numbers (GELU) are computed in float32.
 */
import { contrib, float, type GraphBuilder, type Value } from '../graph.js';
import { narrow, widen } from './cast.js';

const mul = (g: GraphBuilder, a: Value, b: Value): Value => g.node('Mul', [a, b]);
const plus = (g: GraphBuilder, a: Value, b: Value): Value => g.node('Add', [a, b]);

const swish = (g: GraphBuilder, x: Value, alpha: number): Value =>
  g.node('QuickGelu', [x], { domain: contrib, attributes: { alpha: float(alpha) } });

/** x·σ(x), as one pass; recorded, σ is kept for the gradient dy·(σ + y − y·σ). */
export function silu(g: GraphBuilder, x: Value): Value {
  if (g.tape === null) return swish(g, x, 1);
  const gate = g.node('Sigmoid', [x]);
  const y = mul(g, x, gate);
  g.record([x], [y], ([dy]) => (dy ? [mul(g, dy, g.node('Sub', [plus(g, gate, y), mul(g, y, gate)]))] : []));
  return y;
}

/** x·σ(1.702·x) (Hendrycks & Gimpel 2016). With α = 1.702, the derivative is σ + α·y·(1 − σ). */
export function quickGelu(g: GraphBuilder, x: Value): Value {
  const alpha = 1.702;
  if (g.tape === null) return swish(g, x, alpha);
  const gate = g.node('Sigmoid', [mul(g, x, g.scalar(alpha))]);
  const y = mul(g, x, gate);
  g.record([x], [y], ([dy]) => {
    if (!dy) return [];
    const slope = mul(g, mul(g, y, g.scalar(alpha)), g.node('Sub', [g.scalar(1), gate]));
    return [mul(g, dy, plus(g, gate, slope))];
  });
  return y;
}

/**
 * silu(gate)·up (Shazeer 2020). With σ of the gate and dUp = dy·silu(gate), the gate's gradient is
 * up·(dUp + σ·(dy − dUp)): one pass fewer than silu's and the product's apart.
 */
export function gatedSilu(g: GraphBuilder, gate: Value, up: Value): Value {
  if (g.tape === null) return mul(g, silu(g, gate), up);
  const share = g.node('Sigmoid', [gate]);
  const active = mul(g, gate, share);
  const y = mul(g, active, up);
  g.record([gate, up], [y], ([dy]) => {
    if (!dy) return [];
    const dUp = mul(g, dy, active);
    return [mul(g, up, plus(g, dUp, mul(g, share, g.node('Sub', [dy, dUp])))), dUp];
  });
  return y;
}

/** x·Φ(x), by erf. Derivative Φ(x) + x·φ(x). */
export function gelu(g: GraphBuilder, x: Value): Value {
  const y = g.node('Gelu', [x], { domain: contrib });
  g.record([x], [y], ([dy]) => {
    if (!dy) return [];
    const wide = widen(g, x);
    const erf = g.node('Erf', [mul(g, wide, g.float32(Math.SQRT1_2))]);
    const share = mul(g, plus(g, erf, g.float32(1)), g.float32(0.5));
    const bell = g.node('Exp', [mul(g, mul(g, wide, wide), g.float32(-0.5))]);
    const density = mul(g, bell, g.float32(1 / Math.sqrt(2 * Math.PI)));
    return [narrow(g, mul(g, widen(g, dy), plus(g, share, mul(g, wide, density))))];
  });
  return y;
}

const tanhScale = Math.sqrt(2 / Math.PI);
const tanhCubic = 0.044715;

/** GELU's tanh approximation (GPT-2's `gelu_new`). Derivative ½(1 + t) + ½·x·(1 − t²)·u′ with t = tanh u. */
export function geluTanh(g: GraphBuilder, x: Value): Value {
  const y = g.node('FastGelu', [x], { domain: contrib });
  g.record([x], [y], ([dy]) => {
    if (!dy) return [];
    const wide = widen(g, x);
    const square = mul(g, wide, wide);
    const polynomial = (cubic: number, linear: number): Value =>
      plus(g, mul(g, square, g.float32(cubic)), g.float32(linear));
    const t = g.node('Tanh', [mul(g, wide, polynomial(tanhScale * tanhCubic, tanhScale))]);
    const slope = mul(
      g,
      mul(g, wide, polynomial(1.5 * tanhScale * tanhCubic, 0.5 * tanhScale)),
      g.node('Sub', [g.float32(1), mul(g, t, t)]),
    );
    const half = plus(g, mul(g, t, g.float32(0.5)), g.float32(0.5));
    return [narrow(g, mul(g, widen(g, dy), plus(g, half, slope)))];
  });
  return y;
}

export function relu(g: GraphBuilder, x: Value): Value {
  const y = g.node('Relu', [x]);
  g.record([x], [y], ([dy]) => {
    if (!dy) return [];
    const passes = g.node('Greater', [widen(g, y), g.float32(0)]);
    return [g.node('Where', [passes, dy, g.scalar(0)])];
  });
  return y;
}

/** relu(x)² (So et al. 2021). Derivative 2·relu(x). */
export function reluSquared(g: GraphBuilder, x: Value): Value {
  const kept = g.node('Relu', [x]);
  const y = mul(g, kept, kept);
  g.record([x], [y], ([dy]) => (dy ? [mul(g, dy, plus(g, kept, kept))] : []));
  return y;
}
