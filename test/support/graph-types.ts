import type { Graph, Node } from '#tokensieve/onnx/graph.js';

/** Every node of a graph and of the graphs within. */
export function allNodes(graph: Graph): Node[] {
  return graph.nodes.flatMap((node) => [
    node,
    ...Object.values(node.attributes).flatMap((a) => (a.kind === 'graph' ? allNodes(a.value) : [])),
  ]);
}
