/** From a checkpoint folder to a scoring graph on disk. */
import { relative, sep } from 'node:path';
import { fatalError } from '../errors.js';
import type { FloatType } from '../numbers/fp16-bf16.js';
import { type Graph, GraphBuilder } from '../onnx/graph.js';
import type { AttentionForm } from '../onnx/ops/attention.js';
import { chunkedLossHead, unrolledLossHead } from '../onnx/ops/head.js';
import { encodeModel, toModelProto } from '../onnx/proto.js';
import { type Checkpoint, openCheckpoint } from './checkpoint.js';
import { modelForm } from './folder-kind.js';
import { cacheGraph, commonFolder } from './graph-cache.js';
import { hashModel } from './hash.js';
import { describeOnnxExport, prepareOnnxExport } from './onnx-export.js';
import {
  type GraphSettings,
  type ModelInfo,
  type Precision,
  type PreparedModel,
  preparedModel,
} from './prepared-model.js';
import type { TensorEntry } from './safetensors.js';
import { CheckpointWeights } from './weights.js';

type BuildSettings = Omit<GraphSettings, 'cacheFolder'>;

const floatTypes = {
  fp32: 'float32',
  fp16: 'float16',
  bf16: 'bfloat16',
} as const satisfies Record<Precision, FloatType>;

/** The first with ONNX's Attention. */
const deviceOpset = 23;

/** A graph for one batch shape on CUDA takes the operators that its kernels are fused for. */
function attentionForm({ device, batch }: BuildSettings): AttentionForm {
  if (device === 'cuda' && batch !== undefined) return 'cuda';
  return device === 'cpu' ? 'fused' : 'plain';
}

interface BuiltGraph {
  readonly graph: Graph;
  readonly used: readonly TensorEntry[];
  /** Folder that the graph's weight locations are relative to. */
  readonly weightsFolder: string;
}

/** The graph of a checkpoint by the calling convention of `PreparedModel`. */
export function buildGraph(checkpoint: Checkpoint, settings: BuildSettings): BuiltGraph {
  const { decoder, tensors } = checkpoint;
  const weightsFolder = commonFolder([...tensors.values()].map(({ file }) => file));
  const form = attentionForm(settings);
  const float = floatTypes[settings.precision ?? 'fp32'];
  const batch = form === 'cuda' ? (settings.batch ?? null) : null;
  if (float !== 'float32' && form !== 'cuda') {
    throw fatalError(
      'no-such-graph',
      `${checkpoint.folder}: precision ${settings.precision} is for graphs of one batch shape on CUDA; report this`,
    );
  }
  const product = settings.headProduct ?? 'float32';
  const g = new GraphBuilder('tokensieve', { float, batch, ...(batch !== null && { opset: deviceOpset }) });
  const locate = (file: string): string => relative(weightsFolder, file).split(sep).join('/');
  const headType = product === 'mixed' ? float : 'float32';
  const weights = new CheckpointWeights(g, tensors, locate, checkpoint.folder, headType);
  const shape = batch === null ? ['batch', 'length'] : [batch.rows, batch.length];
  const ids = g.input('input_ids', 'int32', shape);
  const within = settings.attention === 'within';
  const positionIds = within ? g.input('position_ids', 'int32', shape) : null;
  const documentIds = within ? g.input('document_ids', 'int32', shape) : null;
  const hidden = decoder.body(g, weights, {
    ids,
    positionIds,
    documentIds,
    attention: form,
  });
  const head = {
    weight: decoder.head(weights),
    bias: null,
    hiddenSize: decoder.hiddenSize,
    vocabularySize: decoder.vocabularySize,
  };
  const asked = { entropy: settings.entropy, greedy: settings.greedy ?? false };
  const { loss, entropy, greedy } =
    batch === null
      ? chunkedLossHead(g, hidden, ids, head, asked)
      : unrolledLossHead(g, hidden, ids, head, { ...asked, product });
  const lossShape = batch === null ? ['batch', 'targets'] : [batch.rows, batch.length - 1];
  g.output(loss, 'loss', 'float32', lossShape);
  if (entropy !== null) g.output(entropy, 'entropy', 'float32', lossShape);
  if (greedy !== null) g.output(greedy, 'greedy', 'float32', lossShape);
  return { graph: g.build(), used: weights.used, weightsFolder };
}

function infoOf(checkpoint: Checkpoint, used: readonly TensorEntry[], hash: string): ModelInfo {
  const bytesByType = new Map<string, number>();
  for (const { type, length } of used) bytesByType.set(type, (bytesByType.get(type) ?? 0) + length);
  const [mostBytes] = [...bytesByType].sort((a, b) => b[1] - a[1]);
  const { decoder } = checkpoint;
  return {
    folder: checkpoint.folder,
    hash,
    architecture: checkpoint.architecture,
    vocabularySize: decoder.vocabularySize,
    maxPositions: decoder.maxPositions,
    longestRow: decoder.longestRow,
    parameters: used.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    flopsPerToken: decoder.flopsPerToken,
    hiddenSize: decoder.hiddenSize,
    activationWidth: decoder.activationWidth,
    shape: decoder.shape,
    ignoredFields: checkpoint.ignored,
    weightType: mostBytes?.[0] ?? 'F32',
    weightBytes: used.reduce((sum, { length }) => sum + length, 0),
    tensors: { used: used.length, ...checkpoint.others, unreadFiles: checkpoint.unread },
    warnings: checkpoint.warnings,
  };
}

/**
 * What a checkpoint or an ONNX export is, checked as far as its configuration and headers go.
 * The weights are read once, for the hash; `cacheFolder` remembers it.
 * @throws errors of `modelForm` and of `openCheckpoint` or `openExport`
 */
export async function describeModel(folder: string, cacheFolder: string | null = null): Promise<ModelInfo> {
  if ((await modelForm(folder)) === 'onnx-export') return describeOnnxExport(folder, cacheFolder);
  const checkpoint = await openCheckpoint(folder);
  const { used } = buildGraph(checkpoint, { device: 'cpu', attention: 'across', entropy: false });
  return infoOf(checkpoint, used, (await hashModel(checkpoint.files, cacheFolder)).hash);
}

/**
 * Refuses a folder that is no model that can be scored with, as far as names, configuration and headers tell: what a run
 * asks first, so that a folder's own fault is told before anything that follows from it.
 * @throws as `modelForm` and `openCheckpoint` do
 */
export async function checkModel(folder: string): Promise<void> {
  if ((await modelForm(folder)) === 'checkpoint') await openCheckpoint(folder);
}

/**
 * Builds the scoring graph of a checkpoint or of an ONNX export, or finds it in the cache. Safe to call from several processes.
 * @throws fatal errors of `describeModel`.
 */
export async function prepareModel(folder: string, settings: GraphSettings): Promise<PreparedModel> {
  if ((await modelForm(folder)) === 'onnx-export') return prepareOnnxExport(folder, settings);
  const checkpoint = await openCheckpoint(folder);
  const { graph, used, weightsFolder } = buildGraph(checkpoint, settings);
  const { hash, files } = await hashModel(checkpoint.files, settings.cacheFolder);
  const cached = await cacheGraph(encodeModel(toModelProto(graph)), hash, settings.cacheFolder);
  return preparedModel(cached, { weightsFolder, files, info: infoOf(checkpoint, used, hash) });
}
