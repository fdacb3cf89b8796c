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
import { type ExportFile, openExport } from './onnx-export-file.js';
import { liveNodes, namesOf, renameValues, usesOf } from './onnx-export-graph.js';
import { exportInfo } from './onnx-export-info.js';
import { classifyInputs, dropFusedCaches, makeInputs } from './onnx-export-inputs.js';
import { cutLogits } from './onnx-export-logits.js';
import { lowerGraph } from './onnx-export-opset.js';
import type { GraphSettings, ModelInfo, PreparedModel } from './prepared-model.js';

/** Names that the calling convention of `PreparedModel` takes, whatever an export calls its own values. */
const reserved: readonly Value[] = ['input_ids', 'loss', 'entropy'];

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
  const { graph, vocabularySize } = buildExportGraph(file, settings.entropy);
  const hash = await hashModel(file.files, settings.cacheFolder);
  const model: ModelProto = { ...file.model, graph };
  const graphPath = await cacheGraph(encodeModel(model), hash, settings.cacheFolder);
  const info = exportInfo(graph, file.config, { folder, hash, vocabularySize });
  return { graphPath, weightsFolder: file.weightsFolder, info };
}

function buildExportGraph(
  { model, path }: ExportFile,
  entropy: boolean,
): { graph: GraphProto; vocabularySize: number } {
  const trunk = model.graph;
  if (trunk === undefined) throw fatalError('onnx-unreadable', `${path}: holds no graph; export it again`);
  const inputs = classifyInputs(trunk, path);
  const cut = cutLogits(trunk, path);
  const unused = dropFusedCaches(trunk, inputs);

  const taken = namesOf(trunk);
  const names = new Map([...taken].filter((name) => !reserved.includes(name)).map((name) => [name, 1]));
  const before = new GraphBuilder('tokensieve', names);
  const ids = before.input('input_ids', 'int32', ['batch', 'length']);
  const made = makeInputs(
    before,
    ids,
    inputs.filter(({ name }) => !unused.has(name)),
    path,
  );
  const after = new GraphBuilder('loss', names);
  const clashes = reserved.filter((name) => taken.has(name) && !made.has(name));
  const renamed = new Map([
    ...made,
    ...clashes.map((name) => [name, before.fresh(`export.${name}`)] as const),
  ]);
  renameValues(trunk, renamed);

  const current = (name: Value): Value => renamed.get(name) ?? name;
  const { loss, entropy: entropies } = chunkedLosses(
    after,
    current(cut.states),
    ids,
    cut.source,
    cut.vocabularySize,
    entropy,
  );
  after.output(loss, 'loss', 'float32', ['batch', 'targets']);
  if (entropies !== null) after.output(entropies, 'entropy', 'float32', ['batch', 'targets']);

  const opset = Number(
    model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version,
  );
  const [head, tail] = [before.build(), after.build()].map((built) => toGraphProto(lowerGraph(built, opset)));
  if (head === undefined || tail === undefined) throw new Error('two graphs were built');
  const alive = liveNodes(trunk.node, [current(cut.states), ...cut.constants.map(current)]);
  const read = new Set([...alive.flatMap(usesOf), ...tail.node.flatMap(usesOf)]);
  const graph = create(GraphProtoSchema, {
    name: 'tokensieve',
    input: head.input,
    output: tail.output,
    node: [...liveNodes(head.node, read), ...alive, ...tail.node],
    initializer: [
      ...head.initializer,
      ...trunk.initializer.filter(({ name }) => read.has(name)),
      ...tail.initializer,
    ],
  });
  return { graph, vocabularySize: cut.vocabularySize };
}
