/**
 * Where an export computes otherwise for longer batches (longrope's second table of frequencies, dynamic NTK): found in the
 * part of its graph that depends on the batch's shape alone, which runs at any length in no time and without weights.
 */
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import type { Value } from '../onnx/graph.js';
import { pruned } from './onnx-export-build.js';
import { shapeOf, usesOf } from './onnx-export-graph.js';

/** Tensors above this are weights, and not read to compute a length. */
const maxConstantBytes = 2 ** 20;

/** Operators that give a value of their first input's shape, with a size of its own put behind by Gather. */
const likeTheirInput: readonly string[] = ['Cast', 'Identity'];

export interface LengthGraph {
  readonly graph: GraphProto;
  /** Its outputs: values that only the batch's shape decides. */
  readonly values: readonly Value[];
}

/** The part of a graph that `input_ids`'s shape alone decides, with every value of it as an output; null for none. */
export function lengthGraph(scoring: GraphProto): LengthGraph | null {
  const weights = new Map(scoring.initializer.map((tensor) => [tensor.name, tensor]));
  const shapes = new Set<Value>(); // decided by the shape
  const contents = new Set<Value>(['input_ids']); // decided by the ids, or too heavy to look into
  const likeIds = new Set<Value>(['input_ids']);
  const embedded = new Map<Value, number[]>(); // [B, T] of ids and these sizes behind
  const nodes: NodeProto[] = [];
  const initializer: TensorProto[] = [...scoring.initializer];
  for (const [name, tensor] of weights) if (isHeavy(tensor)) contents.add(name);
  for (const node of scoring.node) {
    const [first = '', second = ''] = node.input;
    const width = weights.get(first);
    if (
      node.opType === 'Shape' &&
      node.attribute.length === 0 &&
      (likeIds.has(first) || embedded.has(first))
    ) {
      const sizes = embedded.get(first) ?? [];
      nodes.push(...shapeNodes(node, sizes, initializer));
      shapes.add(node.output[0] ?? '');
      continue;
    }
    if (likeTheirInput.includes(node.opType) && likeIds.has(first)) likeIds.add(node.output[0] ?? '');
    if (likeTheirInput.includes(node.opType) && embedded.has(first))
      embedded.set(node.output[0] ?? '', embedded.get(first) ?? []);
    if (
      node.opType === 'Gather' &&
      width?.dims.length === 2 &&
      likeIds.has(second) &&
      node.attribute.every(({ i }) => i === 0n)
    )
      embedded.set(node.output[0] ?? '', shapeOf(width).slice(1));
    const uses = usesOf(node);
    const into = uses.some((name) => contents.has(name))
      ? contents
      : uses.some((name) => shapes.has(name))
        ? shapes
        : null;
    if (into !== contents) nodes.push(node);
    for (const name of node.output) if (name !== '') into?.add(name);
  }
  if (shapes.size === 0) return null;
  const values = [...shapes];
  return { graph: withOutputs({ ...scoring, node: nodes, initializer }, values), values };
}

/**
 * The graph without what grows faster than a row (masks of every token with every token), nor what is made of it: such
 * values would fill the memory at lengths that rows never have.
 * @param sizes of the values at some length, and `doubled` at twice that
 */
export function withoutSquares(
  { graph, values }: LengthGraph,
  sizes: readonly number[],
  doubled: readonly number[],
): { graph: GraphProto; values: { name: Value; size: number }[] } {
  const dropped = new Set(values.filter((_, i) => (doubled[i] ?? 0) > 2 * (sizes[i] ?? 0)));
  const node = graph.node.filter((each) => {
    const drop = [...usesOf(each), ...each.output].some((name) => dropped.has(name));
    if (drop) for (const name of each.output) dropped.add(name);
    return !drop;
  });
  const kept = values.flatMap((name, i) => (dropped.has(name) ? [] : [{ name, size: doubled[i] ?? 0 }]));
  return { graph: { ...graph, node }, values: kept };
}

/** The graph again, for some of its values. */
export const withOutputs = (graph: GraphProto, values: readonly Value[]): GraphProto =>
  pruned(
    create(GraphProtoSchema, {
      ...graph,
      output: values.map((name) => create(ValueInfoProtoSchema, { name })),
    }),
  );

const isHeavy = (tensor: TensorProto): boolean =>
  tensor.dataLocation === DataLocation.EXTERNAL || tensor.rawData.length > maxConstantBytes;

/** Shape of `input_ids`, with `sizes` behind it. */
function shapeNodes(
  { output: [name = ''] }: NodeProto,
  sizes: readonly number[],
  initializer: TensorProto[],
): NodeProto[] {
  if (sizes.length === 0)
    return [create(NodeProtoSchema, { opType: 'Shape', input: ['input_ids'], output: [name] })];
  const [ids, rest] = [`${name}/of_ids`, `${name}/behind`];
  initializer.push(
    create(TensorProtoSchema, {
      name: rest,
      dataType: DataType.INT64,
      dims: [BigInt(sizes.length)],
      int64Data: sizes.map(BigInt),
    }),
  );
  return [
    create(NodeProtoSchema, { opType: 'Shape', input: ['input_ids'], output: [ids] }),
    create(NodeProtoSchema, {
      opType: 'Concat',
      input: [ids, rest],
      output: [name],
      attribute: [{ name: 'axis', type: AttributeType.INT, i: 0n }],
    }),
  ];
}

/** Lengths to look at: 2, 3, 4, 6, 8, 12, … and the longest. */
export function rungs(longest: number): number[] {
  const lengths = [2, 3];
  for (let length = 4; length < longest; length *= 2) lengths.push(length, (length * 3) / 2);
  return [...lengths.filter((length) => length < longest), longest];
}

/** From here on, `value` is another: the longest length at which it still was what it is for short rows. */
export interface LengthSwitch {
  readonly length: number;
  readonly value: Value;
}

/**
 * The values that are the same for all short rows and another from some length on; those that change from the start (sizes,
 * the length itself) are no switches.
 * @param measure values at a length, in order of name
 */
export async function findSwitches(
  values: readonly Value[],
  lengths: readonly number[],
  measure: (length: number) => Promise<readonly number[]>,
): Promise<LengthSwitch[]> {
  const [shortest = 2, second = 3, ...longer] = lengths;
  const [start, next] = [await measure(shortest), await measure(second)];
  const waiting = new Set(values.keys());
  for (const i of waiting) if (!Object.is(start[i], next[i])) waiting.delete(i);
  const found: LengthSwitch[] = [];
  let before = second;
  for (const length of longer) {
    const now = await measure(length);
    for (const i of waiting) {
      if (Object.is(now[i], start[i])) continue;
      waiting.delete(i);
      let [same, other] = [before, length];
      while (other - same > 1) {
        const middle = Math.floor((same + other) / 2);
        if (Object.is((await measure(middle))[i], start[i])) same = middle;
        else other = middle;
      }
      found.push({ length: same, value: values[i] ?? '' });
    }
    before = length;
  }
  return found.sort((a, b) => a.length - b.length);
}
