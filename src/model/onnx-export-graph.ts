/** What the passes over an export's graph share: who uses what, renaming, what is alive. */
import {
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import type { Value } from '../onnx/graph.js';

/** Graphs inside a node: the branches of an If, the bodies of Loop and Scan. */
export const subgraphsOf = (node: NodeProto): GraphProto[] =>
  node.attribute.flatMap((attribute) =>
    attribute.type === AttributeType.GRAPH && attribute.g !== undefined ? [attribute.g] : attribute.graphs,
  );

/** Every value that a node reads, those that its subgraphs take from around them included. */
export const usesOf = (node: NodeProto): Value[] =>
  [...node.input, ...subgraphsOf(node).flatMap(freeIn)].filter((name) => name !== '');

/** What a subgraph reads and does not make itself: a name made inside may also stand for something outside. */
function freeIn({ input, initializer, node, output }: GraphProto): Value[] {
  const own = new Set([...input, ...initializer].map(({ name }) => name));
  for (const each of node) for (const name of each.output) own.add(name);
  return [...node.flatMap(usesOf), ...output.map(({ name }) => name)].filter((name) => !own.has(name));
}

/** Every name in a graph and in the graphs inside it. */
export function namesOf(graph: GraphProto): Set<Value> {
  const names = new Set<Value>();
  const visit = ({ input, output, initializer, node }: GraphProto): void => {
    for (const { name } of [...input, ...output, ...initializer]) names.add(name);
    for (const each of node) {
      for (const name of [...each.input, ...each.output]) names.add(name);
      subgraphsOf(each).forEach(visit);
    }
  };
  visit(graph);
  return names;
}

/** Renames values in place, in the graphs inside too (ONNX forbids them to shadow names). */
export function renameValues(graph: GraphProto, renamed: ReadonlyMap<Value, Value>): void {
  const rename = (name: Value): Value => renamed.get(name) ?? name;
  for (const declared of [...graph.input, ...graph.output, ...graph.initializer, ...graph.valueInfo]) {
    declared.name = rename(declared.name);
  }
  for (const node of graph.node) {
    node.input = node.input.map(rename);
    node.output = node.output.map(rename);
    for (const inner of subgraphsOf(node)) renameValues(inner, renamed);
  }
}

/** Inputs that a caller must feed. Old exports list their weights as inputs too. */
export function fedInputs(graph: GraphProto): ValueInfoProto[] {
  const weights = new Set(graph.initializer.map(({ name }) => name));
  return graph.input.filter(({ name }) => !weights.has(name));
}

/** The nodes, in order, that `wanted` values need. */
export function liveNodes(nodes: readonly NodeProto[], wanted: Iterable<Value>): NodeProto[] {
  const needed = new Set(wanted);
  const live: NodeProto[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.output.some((name) => needed.has(name))) continue;
    for (const name of usesOf(node)) needed.add(name);
    live.push(node);
  }
  return live.reverse();
}

/** Values that change with what is fed: everything else is a constant, whatever nodes compute it. */
export function fedValues(graph: GraphProto): Set<Value> {
  const fed = new Set(fedInputs(graph).map(({ name }) => name));
  for (const node of graph.node) {
    if (usesOf(node).some((name) => fed.has(name))) for (const name of node.output) fed.add(name);
  }
  return fed;
}

/** A node's integer attribute. */
export const intOf = (node: NodeProto, name: string, otherwise: number): number => {
  const attribute = node.attribute.find((each) => each.name === name);
  return attribute === undefined ? otherwise : Number(attribute.i);
};

export const shapeOf = (tensor: TensorProto): number[] => tensor.dims.map(Number);

export interface DeclaredType {
  /** `TensorProto.DataType`, or 0 where none is declared. */
  readonly elementType: number;
  /** Fixed sizes as numbers, free ones as their names; null where not even the rank is declared. */
  readonly shape: readonly (number | string)[] | null;
}

export function declaredType({ type }: ValueInfoProto): DeclaredType {
  if (type?.value.case !== 'tensorType') return { elementType: 0, shape: null };
  const { elemType, shape } = type.value.value;
  const dimensions = shape?.dim.map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? ''),
  );
  return { elementType: elemType, shape: dimensions ?? null };
}
