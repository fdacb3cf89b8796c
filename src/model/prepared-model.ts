import type { AttentionScope } from '../sequence/packing.js';

export type Device = 'cpu' | 'cuda' | 'webgpu';

/** What the graph must be built for. Everything here changes bytes or speed, never meaning. */
export interface GraphSettings {
  readonly device: Device;
  /** `across`: a row's documents see each other. `within`: they do not, and positions restart. */
  readonly attention: AttentionScope;
  /** Add an `entropy` output. */
  readonly entropy: boolean;
  /** Folder for built graphs, keyed by the model's hash. Checkpoint folders are never written to. */
  readonly cacheFolder: string;
}

/**
 * A checkpoint turned into a scoring graph on disk. Every prepared model has one calling convention:
 * in:  `input_ids` int32 [B, T]; with attention `within` also `position_ids` int32 [B, T] and
 *      `document_ids` int32 [B, T] (equal ids see each other);
 * out: `loss` float32 [B, T−1], loss[b, t] = −ln p(input_ids[b, t+1] | input_ids[b, ..t]) in nats;
 *      with `entropy` also `entropy` float32 [B, T−1], of the distribution that predicts token t+1.
 * Rows shorter than T are padded on the right with any valid id: causal attention keeps padding out.
 * B and T are free on CPU.
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
}

export interface ModelInfo {
  /** Checkpoint folder as it was given. */
  readonly folder: string;
  /** sha256 over the names and bytes of the files that define the model (config, weights or ONNX). */
  readonly hash: string;
  /** As config.json names it (`LlamaForCausalLM`), or `onnx`. */
  readonly architecture: string;
  /** Rows of the output embedding: logits a token. */
  readonly vocabularySize: number;
  /** Longest sequence the model can take, in tokens; null when nothing bounds it. */
  readonly maxPositions: number | null;
  readonly parameters: number;
  /** Multiply-adds ×2 a token of the forward pass at context T: `matmul + attentionPerToken · T`. */
  readonly flopsPerToken: { readonly matmul: number; readonly attentionPerContextToken: number };
  /** Storage type of the weights: `F32`, `F16`, `BF16`. */
  readonly weightType: string;
  /** Bytes of the weights on disk. */
  readonly weightBytes: number;
}
