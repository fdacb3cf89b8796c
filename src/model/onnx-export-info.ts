/** What an export is and costs, from its scoring graph and what its folder's configuration says. */
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';
import type { ExportConfig } from './onnx-export-file.js';
import { intOf, shapeOf, subgraphsOf } from './onnx-export-graph.js';
import type { ModelInfo } from './prepared-model.js';

const typeNames: Readonly<Record<number, string>> = {
  [DataType.FLOAT]: 'F32',
  [DataType.FLOAT16]: 'F16',
  [DataType.BFLOAT16]: 'BF16',
};

/** Operators whose second input is a matrix that every token is multiplied with. */
const products: readonly string[] = ['MatMul', 'FusedMatMul', 'Gemm', 'Attention'];

const elementsOf = (tensor: TensorProto): number =>
  shapeOf(tensor).reduce((product, size) => product * size, 1);

function bytesOf(tensor: TensorProto): number {
  const length = tensor.externalData.find(({ key }) => key === 'length')?.value;
  return length === undefined ? tensor.rawData.length || 4 * elementsOf(tensor) : Number(length);
}

/**
 * Parameters count floating-point tensors and the elements of quantised matrices. The cost of attention is known
 * only where genai_config.json or config.json tells the layers and heads, and 0 otherwise.
 */
export function exportInfo(
  graph: GraphProto,
  { maxPositions, layers, queryWidth }: ExportConfig,
  known: Pick<ModelInfo, 'folder' | 'hash' | 'vocabularySize'>,
): ModelInfo {
  const bytesByType = new Map<string, number>();
  for (const tensor of graph.initializer) {
    const type = typeNames[tensor.dataType] ?? DataType[tensor.dataType] ?? 'unknown';
    bytesByType.set(type, (bytesByType.get(type) ?? 0) + bytesOf(tensor));
  }
  const floats = graph.initializer.filter(({ dataType }) => typeNames[dataType] !== undefined);
  const { plain, quantised } = matrixElements(
    graph.node,
    new Map(graph.initializer.map((each) => [each.name, each])),
  );
  return {
    ...known,
    architecture: 'onnx',
    maxPositions,
    parameters: floats.reduce((sum, tensor) => sum + elementsOf(tensor), 0) + quantised,
    flopsPerToken: {
      matmul: 2 * (plain + quantised),
      attentionPerContextToken: 2 * (layers ?? 0) * (queryWidth ?? 0),
    },
    weightType: [...bytesByType].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'F32',
    weightBytes: [...bytesByType.values()].reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** Elements of the constant matrices that a token is multiplied with, those in loop bodies included. */
function matrixElements(
  nodes: readonly NodeProto[],
  weights: ReadonlyMap<string, TensorProto>,
): { plain: number; quantised: number } {
  const producers = new Map(nodes.map((node) => [node.output[0] ?? '', node]));
  let [plain, quantised] = [0, 0];
  const visit = (node: NodeProto): void => {
    const matrix = node.input[1] ?? '';
    if (node.opType === 'MatMulNBits') quantised += intOf(node, 'K', 0) * intOf(node, 'N', 0);
    if (products.includes(node.opType)) {
      const weight = weights.get(matrix) ?? weights.get(producers.get(matrix)?.input[0] ?? '');
      if (weight?.dims.length === 2) plain += elementsOf(weight);
    }
    for (const inner of subgraphsOf(node)) inner.node.forEach(visit);
  };
  nodes.forEach(visit);
  return { plain, quantised };
}
