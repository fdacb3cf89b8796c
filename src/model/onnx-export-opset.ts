/** Our own nodes, written for the newest operator set, in the terms of an older export's. */
import type { Graph, Initializer, Node } from '../onnx/graph.js';
import { ints, subgraph } from '../onnx/graph.js';

/** Operators whose `axes` were an attribute before operator set 13. */
const axesOperators: readonly string[] = ['Squeeze', 'Unsqueeze', 'ReduceSum'];

/** The graph for operator set `opset` (11 or later): until 13 `axes` was an attribute, and since then an input. */
export function lowerGraph(graph: Graph, opset: number): Graph {
  if (opset >= 13) return graph;
  const constants = new Map(graph.initializers.map((each) => [each.name, each]));
  const nodes = graph.nodes.map((node) => lowerNode(node, opset, constants));
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  return { ...graph, nodes, initializers: graph.initializers.filter(({ name }) => read.has(name)) };
}

function lowerNode(node: Node, opset: number, constants: ReadonlyMap<string, Initializer>): Node {
  const attributes = Object.entries(node.attributes).map(([name, attribute]) =>
    attribute.kind === 'graph' ? [name, subgraph(lowerGraph(attribute.value, opset))] : [name, attribute],
  );
  const lowered: Node = { ...node, attributes: Object.fromEntries(attributes) };
  const [data = null, axes = null] = node.inputs;
  const values = axes === null ? undefined : constants.get(axes)?.data;
  if (!axesOperators.includes(node.op) || !(values instanceof Uint8Array)) return lowered;
  const numbers = new BigInt64Array(values.buffer, values.byteOffset, values.byteLength / 8);
  return {
    ...lowered,
    inputs: [data],
    attributes: { ...lowered.attributes, axes: ints([...numbers].map(Number)) },
  };
}
