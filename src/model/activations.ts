/** Activation functions by the names that configurations use: transformers', but for those that no checkpoint has. */
import type { GraphBuilder, Value } from '../onnx/graph.js';
import { gelu, geluTanh, quickGelu, relu, reluSquared, silu } from '../onnx/ops/activation.js';

const functions = {
  gelu,
  gelu_python: gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_accurate: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_python_tanh: geluTanh,
  quick_gelu: quickGelu,
  relu,
  relu2: reluSquared,
  silu,
  swish: silu,
} as const;

export type ActivationName = keyof typeof functions;

export const activations = {
  names: Object.keys(functions) as ActivationName[],
  apply: (g: GraphBuilder, name: ActivationName, x: Value): Value => functions[name](g, x),
};
