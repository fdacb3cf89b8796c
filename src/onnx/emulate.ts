/**
 * A 16-bit graph as the CPU can run it: every value of a 16-bit type is a float32 that was rounded to the type, each operator
 * works in float32 on such values. This is what a GPU's 16-bit kernels do that sum in float32, but for what a fused
 * operator rounds inside.
 */
import { type Graph, given, int, type Node, subgraph, type TensorType, type Value } from './graph.js';
import { typeNumbers, typesOf } from './types.js';

/** Operators that make no new number: what they give is rounded because what they are given is. */
const moving = new Set([
  'Identity',
  'Reshape',
  'Transpose',
  'Slice',
  'Split',
  'Concat',
  'Gather',
  'Squeeze',
  'Unsqueeze',
  'Expand',
]);

const cast = (from: Value, to: Value, type: keyof typeof typeNumbers): Node => ({
  op: 'Cast',
  domain: '',
  inputs: [from],
  outputs: [to],
  attributes: { to: int(typeNumbers[type]) },
});

type Half = 'float16' | 'bfloat16';
const isHalf = (type: TensorType | undefined): type is Half => type === 'float16' || type === 'bfloat16';

/**
 * The graph with float32 in the place of float16 and bfloat16, inputs and outputs included, rounded where they were.
 * @param rounds whether a value that a node makes is rounded: to see what it costs, some may be left as they are
 */
export function emulated(graph: Graph, rounds: Rounds = () => true): Graph {
  return rewritten(graph, typesOf(graph), rounds);
}

type Rounds = (node: Node, output: Value) => boolean;

function rewritten(graph: Graph, types: ReadonlyMap<Value, TensorType>, wanted: Rounds): Graph {
  const halfOf = (value: Value): Half | null => {
    const type = types.get(value);
    return isHalf(type) ? type : null;
  };
  const declared = <T extends { readonly type: TensorType }>(of: readonly T[]): T[] =>
    of.map((one) => (isHalf(one.type) ? { ...one, type: 'float32' } : one));
  // A constant keeps its bytes, under another name, and is widened once.
  const stored = (name: Value): Value => (halfOf(name) === null ? name : `${name}.stored`);
  const nodes: Node[] = graph.initializers.flatMap(({ name }) =>
    halfOf(name) === null ? [] : [cast(stored(name), name, 'float32')],
  );
  for (const node of graph.nodes) {
    const attributes = Object.fromEntries(
      Object.entries(node.attributes).map(([name, attribute]) => [
        name,
        attribute.kind === 'graph' ? subgraph(rewritten(attribute.value, types, wanted)) : attribute,
      ]),
    );
    const { dtype: _dtype, ...products } = attributes;
    const plain =
      node.op === 'GemmFloat8' ? { op: 'Gemm', domain: '', attributes: products } : { attributes };
    const rounds = !moving.has(node.op) && !hasGraph(node);
    const made = node.outputs.map((output) => ({
      output,
      half: output !== null && rounds && wanted(node, output) ? halfOf(output) : null,
    }));
    const [only] = made;
    const cut = node.op === 'Cast' ? (only?.output ?? null) : null;
    if (cut !== null && halfOf(cut) !== null) {
      const input = given(node.inputs[0], 'number to cast');
      if (only?.half == null) {
        nodes.push(cast(input, cut, 'float32'));
        continue;
      }
      nodes.push(cast(input, `${cut}.rounded`, only.half));
      nodes.push(cast(`${cut}.rounded`, cut, 'float32'));
      continue;
    }
    nodes.push({
      ...node,
      ...plain,
      outputs: made.map(({ output, half }) => (half === null ? output : `${output}.exact`)),
    });
    for (const { output, half } of made) {
      if (half === null || output === null) continue;
      nodes.push(cast(`${output}.exact`, `${output}.rounded`, half));
      nodes.push(cast(`${output}.rounded`, output, 'float32'));
    }
  }
  return {
    ...graph,
    nodes,
    inputs: declared(graph.inputs),
    outputs: declared(graph.outputs),
    initializers: graph.initializers.map((one) => ({ ...one, name: stored(one.name) })),
  };
}

/** What a loop or a branch gives was rounded inside. */
const hasGraph = ({ attributes }: Node): boolean =>
  Object.values(attributes).some(({ kind }) => kind === 'graph');
