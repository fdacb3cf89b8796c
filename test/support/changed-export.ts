import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from 'onnx-buf';

export const exportFixtures = fileURLToPath(new URL('../../fixtures/models/onnx/', import.meta.url));

export interface ExportBench {
  readonly folder: string;
  /** A folder with a changed copy of an export of fixtures/models/onnx. */
  changed(from: string, change: (graph: GraphProto, folder: string) => void): string;
  clear(): void;
}

export function exportBench(): ExportBench {
  const scratch = mkdtempSync(join(tmpdir(), 'changed-export-'));
  let made = 0;
  return {
    folder: scratch,
    changed(from, change) {
      const folder = join(scratch, `${made++}`);
      cpSync(join(exportFixtures, from), folder, { recursive: true });
      const path = join(folder, 'model.onnx');
      const model = fromBinary(ModelProtoSchema, readFileSync(path));
      change(model.graph!, folder);
      writeFileSync(path, toBinary(ModelProtoSchema, model));
      return folder;
    },
    clear: () => rmSync(scratch, { recursive: true }),
  };
}

/** Adds a node; an attribute is an integer, or a graph. */
export function addNode(
  graph: GraphProto,
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, number | GraphProto>> = {},
): void {
  graph.node.push(
    create(NodeProtoSchema, {
      opType,
      name: output[0]!,
      input: [...input],
      output: [...output],
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    }),
  );
}

const attribute = (name: string, value: number | GraphProto): AttributeProto =>
  typeof value === 'number'
    ? create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) })
    : create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: value });

/** Adds a constant: int64, or float32 where it says so. */
export function addConstant(
  graph: GraphProto,
  name: string,
  values: readonly number[],
  { shape = [values.length], float = false }: { shape?: readonly number[]; float?: boolean } = {},
): string {
  graph.initializer.push(
    create(TensorProtoSchema, {
      name,
      dims: shape.map(BigInt),
      ...(float
        ? { dataType: DataType.FLOAT, floatData: [...values] }
        : { dataType: DataType.INT64, int64Data: values.map(BigInt) }),
    }),
  );
  return name;
}

/** Gives a value another name where it is made, so that something may be put between. */
export function displace(graph: GraphProto, value: string, name: string): string {
  for (const node of graph.node) node.output = node.output.map((each) => (each === value ? name : each));
  return name;
}
