/** Where an export's logits come from: the last projection, and the few nodes after it. */
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { fatalError } from '../errors.js';
import { type Attribute, float, type GraphBuilder, int, type TensorType, type Value } from '../onnx/graph.js';
import type { LogitSource } from '../onnx/ops/head.js';
import { declaredType, fedValues, intOf, shapeOf } from './onnx-export-graph.js';

/** The graph is cut at `states`; from there the loss head goes on. */
export interface LogitsCut {
  /** The output itself: [B, T, V], of any float type. */
  readonly logits: Value;
  /** [B, T, width]: hidden states before the last projection or, where that was not found, the logits. */
  readonly states: Value;
  readonly vocabularySize: number;
  readonly source: LogitSource;
}

const floatTypes: Readonly<Record<number, TensorType>> = {
  [DataType.FLOAT]: 'float32',
  [DataType.FLOAT16]: 'float16',
};

/**
 * Finds the output named `logits`, or the only one of `configuredSize` columns, and walks back over row-wise nodes (casts, scales, soft caps, a bias) to the
 * projection onto the vocabulary, so that the loss head can repeat them chunk by chunk and the logits of a
 * whole batch never exist. What cannot be walked keeps its logits whole: right, but in more memory.
 * @throws fatal `onnx-no-logits`, `onnx-constant-logits`, `onnx-logits-shape`.
 */
export function cutLogits(graph: GraphProto, file: string, configuredSize: number | null = null): LogitsCut {
  const output = graph.output.find(({ name }) => name === 'logits') ?? unnamedLogits(graph, configuredSize);
  if (output === null) {
    throw fatalError(
      'onnx-no-logits',
      `${file}: has no output named logits (outputs: ${graph.output.map(({ name }) => name).join(', ')}); expected a causal language model with its head: export it for text generation`,
    );
  }
  const fed = fedValues(graph);
  if (!fed.has(output.name)) {
    throw fatalError(
      'onnx-constant-logits',
      `${file}: its logits do not depend on its inputs; expected a model, not a stub: export it again`,
    );
  }
  const { elementType, shape } = declaredType(output);
  const [, tokens, declaredSize] = shape?.length === 3 ? shape : [];
  const type = floatTypes[elementType];
  if (tokens === undefined || typeof tokens === 'number' || type === undefined) {
    throw fatalError(
      'onnx-logits-shape',
      `${file}: its logits are ${DataType[elementType] ?? 'of no type'} [${shape?.join(', ') ?? '?'}]; expected float32 or float16 [batch, length, vocabulary] with a free length: export it with the logits of every token`,
    );
  }
  const walked = walkBack(graph, output.name, fed);
  const size = walked?.columns ?? declaredSize;
  if (typeof size !== 'number' || (typeof declaredSize === 'number' && declaredSize !== size)) {
    throw fatalError(
      'onnx-logits-shape',
      `${file}: its logits have ${declaredSize || 'an undeclared number of'} columns and its last projection ${walked?.columns ?? 'was not found'}; expected one vocabulary size: export it again`,
    );
  }
  if (walked === null) {
    const source = { width: size, type, logits: toFloat32 };
    return { logits: output.name, states: output.name, vocabularySize: size, source };
  }
  const { states, width, stateType, tail } = walked;
  const logits = (body: GraphBuilder, rows: Value): Value =>
    toFloat32(
      body,
      tail.reduce((x, { node, dataInput }) => repeat(body, node, dataInput, x), rows),
    );
  return { logits: output.name, states, vocabularySize: size, source: { width, type: stateType, logits } };
}

/** Outputs by these names are of another kind, whatever their size. */
const otherOutputs = /hidden|state|embed|attention|present|past|key|value/i;

/** Exports without names: the one output of a last dimension that is the configured vocabulary. */
function unnamedLogits(graph: GraphProto, configuredSize: number | null): ValueInfoProto | null {
  const [only, second] = graph.output.filter((output) => {
    const { elementType, shape } = declaredType(output);
    const isFloat = floatTypes[elementType] !== undefined && !otherOutputs.test(output.name);
    return isFloat && shape?.length === 3 && shape[2] === configuredSize;
  });
  return second === undefined ? (only ?? null) : null;
}

const toFloat32 = (g: GraphBuilder, x: Value): Value =>
  g.node('Cast', [x], { attributes: { to: int(DataType.FLOAT) } });

interface TailNode {
  readonly node: NodeProto;
  /** Which input carries the rows; the others are constants. */
  readonly dataInput: number;
}

interface Walked {
  readonly states: Value;
  readonly width: number;
  readonly stateType: TensorType;
  readonly columns: number;
  /** From the projection to the logits. */
  readonly tail: readonly TailNode[];
}

const unary: readonly string[] = ['Identity', 'Cast', 'Tanh'];
const binary: readonly string[] = ['Add', 'Sub', 'Mul', 'Div'];
/** Nodes walked at most: real tails have a handful, and a damaged graph may run in a circle. */
const longestTail = 32;

function walkBack(graph: GraphProto, logits: Value, fed: ReadonlySet<Value>): Walked | null {
  const producers = new Map(graph.node.flatMap((node) => node.output.map((name) => [name, node] as const)));
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const tail: TailNode[] = [];
  for (let value = logits; tail.length < longestTail; ) {
    const node = producers.get(value);
    if (node === undefined) return null;
    const projection = projectionOf(node, producers, weights);
    if (projection !== null && repeatable(node)) {
      const states = node.input[0] ?? '';
      return { ...projection, states, tail: [...tail, { node, dataInput: 0 }].reverse() };
    }
    const dataInput = node.input.findIndex((name) => fed.has(name));
    const next = node.input[dataInput];
    const others = node.input.filter((_, i) => i !== dataInput);
    const rowWise =
      unary.includes(node.opType) ||
      (binary.includes(node.opType) && others.every((name) => isRow(name, producers, weights)));
    if (!rowWise || !repeatable(node) || next === undefined) return null;
    tail.push({ node, dataInput });
    value = next;
  }
  return null;
}

/** A scalar or one row of a constant, which broadcasts over rows in any number of dimensions. */
function isRow(
  name: Value,
  producers: ReadonlyMap<Value, NodeProto>,
  weights: ReadonlyMap<Value, TensorProto>,
): boolean {
  const computed = producers.get(name);
  const tensor =
    weights.get(name) ?? (computed?.opType === 'Constant' ? computed.attribute[0]?.t : undefined);
  return tensor !== undefined && tensor.dims.length <= 1;
}

/** Sizes of a product with a constant matrix, [width, columns] however it is laid out; null for any other node. */
function projectionOf(
  node: NodeProto,
  producers: ReadonlyMap<Value, NodeProto>,
  weights: ReadonlyMap<Value, TensorProto>,
): Pick<Walked, 'width' | 'columns' | 'stateType'> | null {
  const [, matrix = '', scales = ''] = node.input;
  if (node.opType === 'MatMulNBits') {
    const stateType = floatTypes[weights.get(scales)?.dataType ?? 0];
    const [width, columns] = [intOf(node, 'K', 0), intOf(node, 'N', 0)];
    return stateType === undefined ? null : { width, columns, stateType };
  }
  if (node.opType !== 'MatMul' && node.opType !== 'FusedMatMul') return null;
  const transposed = producers.get(matrix);
  const weight = weights.get(transposed?.opType === 'Transpose' ? (transposed.input[0] ?? '') : matrix);
  const stateType = floatTypes[weight?.dataType ?? 0];
  if (weight?.dims.length !== 2 || stateType === undefined || intOf(node, 'transA', 0) !== 0) return null;
  const [rows = 0, columns = 0] = shapeOf(weight);
  const flipped = (transposed?.opType === 'Transpose') !== (intOf(node, 'transB', 0) === 1);
  return flipped ? { width: columns, columns: rows, stateType } : { width: rows, columns, stateType };
}

/** Whether `repeat` can: attributes of these operators are numbers, but for oddities. */
const repeatable = (node: NodeProto): boolean =>
  node.attribute.every(({ type }) => type === AttributeType.INT || type === AttributeType.FLOAT);

/** The node again, inside the loop's body, on rows instead of [B, T, ·]. */
function repeat(body: GraphBuilder, node: NodeProto, dataInput: number, rows: Value): Value {
  const attributes: Record<string, Attribute> = {};
  for (const { name, type, i, f } of node.attribute) {
    attributes[name] = type === AttributeType.FLOAT ? float(f) : int(Number(i));
  }
  const inputs = node.input.map((name, index) => (index === dataInput ? rows : name));
  return body.node(node.opType, inputs, { domain: node.domain, attributes });
}
