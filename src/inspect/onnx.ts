import {
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { readModel } from '../model/onnx-export-file.js';
import { declaredType, fedInputs, shapeOf, subgraphsOf } from '../model/onnx-export-graph.js';

export interface OnnxValue {
  readonly name: string;
  /** As ONNX spells it: `INT64`, `FLOAT16`. */
  readonly type: string;
  /** Free sizes by name; null where not even the rank is declared. */
  readonly shape: readonly (number | string)[] | null;
}

export interface OnnxInspection {
  readonly kind: 'onnx';
  readonly path: string;
  readonly irVersion: number;
  /** Version by operator domain; `ai.onnx` is ONNX's own. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: string;
  /** Inputs that must be fed, without the weights that old exports list among them. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: number;
  /** Nodes by operator, subgraphs included, most frequent first. */
  readonly operators: readonly { readonly operator: string; readonly nodes: number }[];
  readonly initializers: {
    readonly count: number;
    readonly parameters: number;
    /** Types by number of parameters, most first. */
    readonly types: readonly { readonly type: string; readonly parameters: number }[];
  };
  /** Files beside the model that hold weights, with how many tensors each. */
  readonly externalFiles: readonly { readonly location: string; readonly tensors: number }[];
}

/** @throws TokensieveError (fatal) `onnx-unreadable` */
export async function inspectOnnx(path: string): Promise<OnnxInspection> {
  const model = await readModel(path);
  const { graph } = model;
  const operators = new Map<string, number>();
  if (graph !== undefined) countOperators(graph, operators);
  const initializers = graph?.initializer ?? [];
  return {
    kind: 'onnx',
    path,
    irVersion: Number(model.irVersion),
    opsets: Object.fromEntries(
      model.opsetImport.map(({ domain, version }) => [domain === '' ? 'ai.onnx' : domain, Number(version)]),
    ),
    producer: [model.producerName, model.producerVersion].filter((part) => part !== '').join(' '),
    inputs: graph === undefined ? [] : fedInputs(graph).map(describeValue),
    outputs: (graph?.output ?? []).map(describeValue),
    nodes: [...operators.values()].reduce((sum, nodes) => sum + nodes, 0),
    operators: [...operators]
      .map(([operator, nodes]) => ({ operator, nodes }))
      .sort((a, b) => b.nodes - a.nodes || (a.operator < b.operator ? -1 : 1)),
    initializers: sumUp(initializers),
    externalFiles: externalFilesOf(initializers),
  };
}

function countOperators(graph: GraphProto, counts: Map<string, number>): void {
  for (const node of graph.node) {
    const operator =
      node.domain === '' || node.domain === 'ai.onnx' ? node.opType : `${node.domain}.${node.opType}`;
    counts.set(operator, (counts.get(operator) ?? 0) + 1);
    for (const inner of subgraphsOf(node)) countOperators(inner, counts);
  }
}

function describeValue(value: ValueInfoProto): OnnxValue {
  const { elementType, shape } = declaredType(value);
  return { name: value.name, type: typeName(elementType), shape };
}

const typeName = (type: number): string => DataType[type] ?? `type ${type}`;

function sumUp(tensors: readonly TensorProto[]): OnnxInspection['initializers'] {
  const types = new Map<string, number>();
  for (const tensor of tensors) {
    const elements = shapeOf(tensor).reduce((product, size) => product * size, 1);
    const type = typeName(tensor.dataType);
    types.set(type, (types.get(type) ?? 0) + elements);
  }
  const sorted = [...types].sort((a, b) => b[1] - a[1]);
  return {
    count: tensors.length,
    parameters: sorted.reduce((sum, [, parameters]) => sum + parameters, 0),
    types: sorted.map(([type, parameters]) => ({ type, parameters })),
  };
}

function externalFilesOf(tensors: readonly TensorProto[]): OnnxInspection['externalFiles'] {
  const files = new Map<string, number>();
  for (const { dataLocation, externalData } of tensors) {
    if (dataLocation !== DataLocation.EXTERNAL) continue;
    const location = externalData.find(({ key }) => key === 'location')?.value ?? '';
    files.set(location, (files.get(location) ?? 0) + 1);
  }
  return [...files].map(([location, count]) => ({ location, tensors: count }));
}
