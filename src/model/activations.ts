/** Activation functions by the names that configurations use. */
import type { GraphBuilder, Value } from '../onnx/graph.js';
import { gelu, geluTanh, relu, silu } from '../onnx/ops/activation.js';

const functions = {
  gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  relu,
  silu,
  swish: silu,
} as const;

export type ActivationName = keyof typeof functions;

export const activations = {
  names: Object.keys(functions) as ActivationName[],
  apply: (g: GraphBuilder, name: ActivationName, x: Value): Value => functions[name](g, x),
};
