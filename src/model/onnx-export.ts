/**
 * ONNX exports as optimum and onnxruntime-genai write them, turned into scoring graphs: inputs are made from
 * `input_ids`, the cache goes, the graph is cut before its logits and the loss head is put in their place.
 */
import { create } from '@bufbuild/protobuf';
import { type GraphProto, GraphProtoSchema, type ModelProto } from 'onnx-buf';
import { fatalError, usageError } from '../errors.js';
import { GraphBuilder, type Value } from '../onnx/graph.js';
import { chunkedLosses } from '../onnx/ops/head.js';
import { encodeModel, toGraphProto } from '../onnx/proto.js';
import { cacheGraph } from './graph-cache.js';
import { hashModel } from './hash.js';
import { type ExportFile, openExport, opsetOf } from './onnx-export-file.js';
import { liveNodes, namesOf, renameValues, usesOf } from './onnx-export-graph.js';
import { exportInfo } from './onnx-export-info.js';
import { classifyInputs, dropFusedCaches, makeInputs } from './onnx-export-inputs.js';
import { cutLogits } from './onnx-export-logits.js';
import { lowerGraph } from './onnx-export-opset.js';
import type { GraphSettings, ModelInfo, PreparedModel } from './prepared-model.js';

/** Names that the calling convention of `PreparedModel` takes, whatever an export calls its own values. */
const reserved: readonly Value[] = ['input_ids', 'loss', 'entropy', 'greedy'];

/**
 * What an export is. Its data files are read once, for the hash; `cacheFolder` remembers it.
 * @throws fatal `onnx-*` errors of reading, of inputs and of logits.
 */
export async function describeOnnxExport(
  folder: string,
  cacheFolder: string | null = null,
): Promise<ModelInfo> {
  const file = await openExport(folder);
  const { graph, vocabularySize } = buildExportGraph(file, false);
  const hash = await hashModel(file.files, cacheFolder);
  return exportInfo(graph, file.config, { folder, hash, vocabularySize });
}

/**
 * Builds the scoring graph of an export, or finds it in the cache.
 * @throws fatal errors of `describeOnnxExport`; usage `onnx-attention` for attention `within`: an export's
 * attention mask tells padding from text and cannot keep documents apart.
 */
export async function prepareOnnxExport(folder: string, settings: GraphSettings): Promise<PreparedModel> {
  const file = await openExport(folder);
  if (settings.attention === 'within') {
    throw usageError(
      'onnx-attention',
      `${file.path}: an ONNX export cannot keep a row's documents apart (attention within); use attention across, or the checkpoint it was exported from`,
    );
  }
  const { graph, vocabularySize } = buildExportGraph(file, settings.entropy, settings.greedy);
  const hash = await hashModel(file.files, settings.cacheFolder);
  const model: ModelProto = { ...file.model, graph };
  const graphPath = await cacheGraph(encodeModel(model), hash, settings.cacheFolder);
  const info = exportInfo(graph, file.config, { folder, hash, vocabularySize });
  return { graphPath, weightsFolder: file.weightsFolder, info };
}

function buildExportGraph(
  { model, path }: ExportFile,
  entropy: boolean,
  greedy = false,
): { graph: GraphProto; vocabularySize: number } {
  const trunk = model.graph;
  if (trunk === undefined) throw fatalError('onnx-unreadable', `${path}: holds no graph; export it again`);
  const names = new Map([...namesOf(trunk), ...reserved].map((name) => [name, 1]));
  const before = new GraphBuilder('tokensieve', { names: names });
  const after = new GraphBuilder('loss', { names: names });

  const inputs = classifyInputs(trunk, path);
  const fed = new Set(inputs.map(({ name }) => name));
  const clashes = reserved.filter((name) => !fed.has(name));
  renameValues(trunk, new Map(clashes.map((name) => [name, before.fresh(`export.${name}`)])));
  const cut = cutLogits(trunk, path);
  const unused = dropFusedCaches(trunk, inputs);

  // The graph's own inputs and outputs go by exactly these names; nothing of the export does any more.
  for (const name of reserved) names.delete(name);
  const ids = before.input('input_ids', 'int32', ['batch', 'length']);
  const needed = inputs.filter(({ name }) => !unused.has(name));
  renameValues(trunk, makeInputs(before, ids, needed, path));
  const { source, vocabularySize } = cut;
  const losses = chunkedLosses(after, cut.states, ids, source, vocabularySize, entropy, undefined, greedy);
  after.output(losses.loss, 'loss', 'float32', ['batch', 'targets']);
  if (losses.entropy !== null) after.output(losses.entropy, 'entropy', 'float32', ['batch', 'targets']);
  if (losses.greedy !== null) after.output(losses.greedy, 'greedy', 'float32', ['batch', 'targets']);

  const opset = opsetOf(model);
  const head = toGraphProto(lowerGraph(before.build(), opset));
  const tail = toGraphProto(lowerGraph(after.build(), opset));
  const all = [...head.node, ...trunk.node, ...tail.node];
  const node = liveNodes(
    all,
    tail.output.map(({ name }) => name),
  );
  const read = new Set(node.flatMap(usesOf));
  const initializer = [head, trunk, tail]
    .flatMap((part) => part.initializer)
    .filter(({ name }) => read.has(name));
  const graph = create(GraphProtoSchema, {
    name: 'tokensieve',
    input: head.input,
    output: tail.output,
    node,
    initializer,
  });
  return { graph, vocabularySize };
}
