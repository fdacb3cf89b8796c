import {
  type FloatType,
  type Graph,
  int,
  type Node,
  type TensorDeclaration,
  type Value,
} from '#tokensieve/onnx/graph.js';
import { typesOf } from './graph-types.js';

/**
 * A 16-bit graph as the CPU can run it in float32: every value of the 16-bit type is rounded to it and widened again,
 * each operator works in float32 on such values. This is what a GPU's 16-bit kernels do that sum in float32, but for
 * what a fused operator rounds inside.
 */
export function rounded(graph: Graph, type: Exclude<FloatType, 'float32'>): Graph {
  const types = typesOf(graph);
  const number = type === 'float16' ? 10 : 16;
  const cast = (from: Value, to: Value, as: number): Node => ({
    op: 'Cast',
    domain: '',
    inputs: [from],
    outputs: [to],
    attributes: { to: int(as) },
  });
  const is16 = (value: Value): boolean => value !== '' && types.get(value) === type;
  const wide = (value: Value): Value => (is16(value) ? `${value}.wide` : value);
  const nodes: Node[] = graph.initializers.flatMap(({ name }) =>
    is16(name) ? [cast(name, wide(name), 1)] : [],
  );
  for (const node of graph.nodes) {
    if (Object.values(node.attributes).some((a) => a.kind === 'graph'))
      throw new Error('subgraphs are not rounded');
    const mixed = node.op === 'GemmFloat8';
    const made =
      node.op === 'Cast' && node.attributes['to']?.kind === 'int' && node.attributes['to'].value === number;
    nodes.push({
      ...node,
      ...(mixed && { op: 'Gemm', domain: '', attributes: { transB: int(1) } }),
      inputs: node.inputs.map(wide),
      // A cast to the type is a rounding already; what other nodes make is rounded after them.
      outputs: node.outputs.map((output) => (is16(output) && !made ? `${output}.exact` : output)),
    });
    for (const output of node.outputs.filter(is16)) {
      if (!made) nodes.push(cast(`${output}.exact`, output, number));
      nodes.push(cast(output, wide(output), 1));
    }
  }
  const declared = (of: readonly TensorDeclaration[]): readonly TensorDeclaration[] => {
    if (of.some(({ name }) => is16(name))) throw new Error('a 16-bit input or output');
    return of;
  };
  return { ...graph, nodes, inputs: declared(graph.inputs), outputs: declared(graph.outputs) };
}
