import type { Graph, Node, TensorType, Value } from '#tokensieve/onnx/graph.js';

/** ONNX's numbers of the types that our graphs use. */
export const typeNumbers: Readonly<Record<number, TensorType>> = {
  1: 'float32',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  16: 'bfloat16',
};

const comparisons = new Set([
  'Equal',
  'Less',
  'LessOrEqual',
  'Greater',
  'GreaterOrEqual',
  'And',
  'Or',
  'Not',
  'IsNaN',
  'IsInf',
]);

const castTo = ({ attributes }: Node, name: string): TensorType => {
  const to = attributes[name];
  const type = to?.kind === 'int' ? typeNumbers[to.value] : undefined;
  if (type === undefined) throw new Error(`a type that this table does not know: ${JSON.stringify(to)}`);
  return type;
};

/** Types of a node's outputs, from those of its inputs. */
function outputTypes(
  node: Node,
  inputs: readonly (TensorType | null)[],
  types: Map<Value, TensorType>,
): TensorType[] {
  const first = inputs.find((type) => type !== null) ?? 'float32';
  const every = (type: TensorType): TensorType[] => node.outputs.map(() => type);
  if (comparisons.has(node.op)) return every('bool');
  switch (node.op) {
    case 'Cast':
      return [castTo(node, 'to')];
    case 'GemmFloat8':
      return [castTo(node, 'dtype')];
    case 'Shape':
    case 'NonZero':
      return ['int64'];
    case 'ConstantOfShape':
      return ['float32'];
    case 'Where':
      return [inputs[1] ?? 'float32'];
    case 'TopK':
      return [first, 'int64'];
    case 'LayerNormalization':
    case 'SimplifiedLayerNormalization':
      return [first, 'float32', 'float32'];
    case 'Scan':
    case 'If': {
      const branches = Object.values(node.attributes).flatMap((a) => (a.kind === 'graph' ? [a.value] : []));
      return branches.map((branch) => subgraphOutputs(branch, types))[0] ?? [];
    }
    default:
      return every(first);
  }
}

function subgraphOutputs(graph: Graph, outer: Map<Value, TensorType>): TensorType[] {
  walkTypes(graph, outer);
  return graph.outputs.map(({ type }) => type);
}

function walkTypes(graph: Graph, types: Map<Value, TensorType>): void {
  for (const { name, type } of [...graph.inputs, ...graph.initializers]) types.set(name, type);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => (input === '' ? null : (types.get(input) ?? null)));
    const made = outputTypes(node, inputs, types);
    node.outputs.forEach((output, index) => {
      if (output !== '') types.set(output, made[index] ?? made[0] ?? 'float32');
    });
  }
}

/** The type of every value of a graph and of the graphs within; names are unique across them. */
export function typesOf(graph: Graph): ReadonlyMap<Value, TensorType> {
  const types = new Map<Value, TensorType>();
  walkTypes(graph, types);
  return types;
}

/** Every node of a graph and of the graphs within. */
export function allNodes(graph: Graph): Node[] {
  return graph.nodes.flatMap((node) => [
    node,
    ...Object.values(node.attributes).flatMap((a) => (a.kind === 'graph' ? allNodes(a.value) : [])),
  ]);
}
