/** Graphs as ONNX protobuf messages and bytes. */
import { create, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import {
  type Attribute,
  contrib,
  type Dimension,
  type Graph,
  type Initializer,
  type Node,
  type TensorDeclaration,
  type TensorType,
} from './graph.js';

/** IR version and operator set of graphs that ask for no other; ONNX Runtime 1.16 and later read them. */
const irVersion = 9n;
const opset = 19;
/** IR version that came with operator set 23. */
const laterIrVersion = 11n;

export const dataTypes: Readonly<Record<TensorType, DataType>> = {
  float32: DataType.FLOAT,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  float64: DataType.DOUBLE,
  int32: DataType.INT32,
  int64: DataType.INT64,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};

/** Protobuf messages want bytes over an ArrayBuffer, which these are unless someone shares memory. */
const plainBytes = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);

const utf8 = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(new TextEncoder().encode(text));

function toAttributeProto(name: string, attribute: Attribute): AttributeProto {
  switch (attribute.kind) {
    case 'int':
      return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(attribute.value) });
    case 'float':
      return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: attribute.value });
    case 'string':
      return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: utf8(attribute.value) });
    case 'ints':
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.INTS,
        ints: attribute.value.map(BigInt),
      });
    case 'graph':
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.GRAPH,
        g: toGraphProto(attribute.value),
      });
  }
}

export function toNodeProto(node: Node): NodeProto {
  return create(NodeProtoSchema, {
    name: node.outputs.find((output) => output !== null) ?? '',
    opType: node.op,
    domain: node.domain,
    // The empty name is protobuf's for what is left out.
    input: node.inputs.map((input) => input ?? ''),
    output: node.outputs.map((output) => output ?? ''),
    attribute: Object.entries(node.attributes).map(([name, value]) => toAttributeProto(name, value)),
  });
}

export function toTensorProto({ name, type, shape, data }: Initializer): TensorProto {
  const declared = { name, dataType: dataTypes[type], dims: shape.map(BigInt) };
  if (data instanceof Uint8Array) {
    return create(TensorProtoSchema, { ...declared, rawData: plainBytes(data) });
  }
  return create(TensorProtoSchema, {
    ...declared,
    dataLocation: DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: data.location },
      { key: 'offset', value: `${data.offset}` },
      { key: 'length', value: `${data.length}` },
    ],
  });
}

const toDimension = (dimension: Dimension) =>
  typeof dimension === 'number'
    ? { value: { case: 'dimValue' as const, value: BigInt(dimension) } }
    : { value: { case: 'dimParam' as const, value: dimension } };

export function toValueInfo({ name, type, shape }: TensorDeclaration): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: { elemType: dataTypes[type], shape: { dim: shape.map(toDimension) } },
      },
    },
  });
}

export function toGraphProto(graph: Graph): GraphProto {
  return create(GraphProtoSchema, {
    name: graph.name,
    input: graph.inputs.map(toValueInfo),
    output: graph.outputs.map(toValueInfo),
    node: graph.nodes.map(toNodeProto),
    initializer: graph.initializers.map(toTensorProto),
  });
}

export function toModelProto(graph: Graph): ModelProto {
  return create(ModelProtoSchema, {
    irVersion: (graph.opset ?? opset) > opset ? laterIrVersion : irVersion,
    producerName: 'tokensieve',
    opsetImport: [
      { domain: '', version: BigInt(graph.opset ?? opset) },
      { domain: contrib, version: 1n },
    ],
    graph: toGraphProto(graph),
  });
}

export const encodeModel = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);
