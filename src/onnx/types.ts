/** The type of every value of a graph, worked out from its inputs as ONNX's own inference does. */
import type { Graph, Node, TensorType, Value } from './graph.js';

/** ONNX's numbers of the types that our graphs use. */
export const typeNumbers = {
  float32: 1,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
} as const satisfies Partial<Record<TensorType, number>>;

const types = new Map<number, TensorType>(
  Object.entries(typeNumbers).map(([name, number]) => [number, name as keyof typeof typeNumbers]),
);

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
  const type = to?.kind === 'int' ? types.get(to.value) : undefined;
  if (type === undefined) throw new Error(`a type that this table does not know: ${JSON.stringify(to)}`);
  return type;
};

/** Types of a node's outputs, from those of its inputs. */
function outputTypes(
  node: Node,
  inputs: readonly (TensorType | null)[],
  known: Map<Value, TensorType>,
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
    case 'ArgMax':
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
      return branches.map((branch) => subgraphOutputs(branch, known))[0] ?? [];
    }
    default:
      return every(first);
  }
}

function subgraphOutputs(graph: Graph, outer: Map<Value, TensorType>): TensorType[] {
  walkTypes(graph, outer);
  return graph.outputs.map(({ type }) => type);
}

function walkTypes(graph: Graph, known: Map<Value, TensorType>): void {
  for (const { name, type } of [...graph.inputs, ...graph.initializers]) known.set(name, type);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => (input === null ? null : (known.get(input) ?? null)));
    const made = outputTypes(node, inputs, known);
    node.outputs.forEach((output, index) => {
      if (output !== null) known.set(output, made[index] ?? made[0] ?? 'float32');
    });
  }
}

/** By name, of a graph and of the graphs within; names are unique across them. */
export function typesOf(graph: Graph): ReadonlyMap<Value, TensorType> {
  const known = new Map<Value, TensorType>();
  walkTypes(graph, known);
  return known;
}
