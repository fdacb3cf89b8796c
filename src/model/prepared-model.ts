import type { BatchShape } from '../onnx/graph.js';
import type { HeadProduct } from '../onnx/ops/head.js';
import type { AttentionScope } from '../sequence/packing.js';
import type { ModelShape } from './decoder.js';
import type { CachedGraph } from './graph-cache.js';
import type { ModelHash } from './hash.js';
import { type ModelWatch, watchModel } from './model-watch.js';
import type { OtherTensors } from './tensors.js';

export type Device = 'cpu' | 'cuda' | 'webgpu';

/** What a model's body computes in. Sums within a product, norms and softmax are float32 whichever it is, and so is the head. */
export type Precision = 'fp32' | 'fp16' | 'bf16';

/** What the graph must be built for. Everything here changes bytes or speed, never meaning. */
export interface GraphSettings {
  readonly device: Device;
  /** `across`: a row's documents see each other. `within`: they do not, and positions restart. */
  readonly attention: AttentionScope;
  /** Add an `entropy` output. */
  readonly entropy: boolean;
  /** Add a `greedy` output. */
  readonly greedy?: boolean | undefined;
  /** Default fp32. The 16-bit ones are for CUDA. */
  readonly precision?: Precision;
  /** The one batch that the graph takes, written into it; without it sizes are free, and on CUDA operators are plain ones. */
  readonly batch?: BatchShape;
  /** How logits are computed from 16-bit states; default float32. */
  readonly headProduct?: HeadProduct;
  /**
   * The caller gives no rows longer than `ModelInfo.maxPositions`. Without this, an export whose losses are right only up
   * to some length of row is refused.
   */
  readonly heedsMaxPositions?: boolean;
  /** Folder for built graphs, keyed by the model's hash. Checkpoint folders are never written to. */
  readonly cacheFolder: string;
}

/**
 * A checkpoint turned into a scoring graph on disk. Every prepared model has one calling convention:
 * in:  `input_ids` int32 [B, T]; with attention `within` also `position_ids` int32 [B, T] and
 *      `document_ids` int32 [B, T] (equal ids see each other);
 * out: `loss` float32 [B, T−1], loss[b, t] = −ln p(input_ids[b, t+1] | input_ids[b, ..t]) in nats;
 *      with `entropy` also `entropy` float32 [B, T−1], of the distribution that predicts token t+1;
 *      with `greedy` also `greedy` float32 [B, T−1], 1 where token t+1 is the likeliest one, else 0.
 * Rows shorter than T are padded on the right with any valid id: causal attention keeps padding out.
 * B and T are free unless `GraphSettings.batch` fixes them.
 */
export interface PreparedModel {
  /** The ONNX file to load, by path. */
  readonly graphPath: string;
  /**
   * Folder that the graph's weights lie in, to be given to the session as
   * `session.model_external_initializers_file_folder_path` (see `sessionOptions`): weights are used where they
   * are, and ONNX Runtime follows no links out of a graph's own folder.
   */
  readonly weightsFolder: string;
  readonly info: ModelInfo;
  /** Its files and its graph, to be looked at once a session is open and before a result is written. */
  readonly watch: ModelWatch;
}

/** @param files of the model, hashed */
export function preparedModel(
  { warning, ...graph }: CachedGraph,
  { weightsFolder, files, info }: Pick<PreparedModel, 'weightsFolder' | 'info'> & Pick<ModelHash, 'files'>,
): PreparedModel {
  return {
    graphPath: graph.path,
    weightsFolder,
    info: warning === null ? info : { ...info, warnings: [...(info.warnings ?? []), warning] },
    watch: watchModel(info.folder, [...files, graph]),
  };
}

export interface ModelInfo {
  /** Checkpoint folder as it was given. */
  readonly folder: string;
  /** sha256 over the names and bytes of the files that define the model (config, weights or ONNX). */
  readonly hash: string;
  /** The class that transformers builds from config.json (`LlamaForCausalLM`), or `onnx`. */
  readonly architecture: string;
  /** Rows of the output embedding: logits a token. */
  readonly vocabularySize: number;
  /** Longest sequence the model can take, in tokens; null when nothing bounds it. */
  readonly maxPositions: number | null;
  /** The same where longrope's switch of frequencies sets it; null or absent elsewhere. */
  readonly longestRow?: number | null;
  readonly parameters: number;
  /** Multiply-adds ×2 a token of the forward pass at context T: `matmul + attentionPerToken · T`. */
  readonly flopsPerToken: { readonly matmul: number; readonly attentionPerContextToken: number };
  /** Numbers of a hidden state; absent for exports. */
  readonly hiddenSize?: number;
  /** Numbers a token that the widest layer holds at once; absent for exports. */
  readonly activationWidth?: number;
  /** What the configuration says of the layers; absent for exports. */
  readonly shape?: ModelShape;
  /** Fields of config.json that change no loss; absent for exports. */
  readonly ignoredFields?: readonly string[];
  /** Storage type of the weights: `F32`, `F16`, `BF16`. */
  readonly weightType: string;
  /** Bytes of the weights on disk. */
  readonly weightBytes: number;
  /** What became of the tensors in a checkpoint's files; absent for exports. */
  readonly tensors?: TensorCensus;
  /** What a run's log says of the model, one line each; absent for exports. */
  readonly warnings?: readonly string[];
}

/** Every tensor of a checkpoint's files stands under one of these, by its name in the files. */
export interface TensorCensus extends OtherTensors {
  /** Parameters that the graph reads. */
  readonly used: number;
  /** `.safetensors` files in the folder that are none of the checkpoint's. */
  readonly unreadFiles: readonly string[];
}
