/** The model to be trained: what a checkpoint or a config.json says of it, its parameters, its tokenizer. */
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { usageError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { type Checkpoint, openCheckpoint } from '../model/checkpoint.js';
import { readConfiguration } from '../model/configuration.js';
import type { Decoder } from '../model/decoder.js';
import { modelForm } from '../model/folder-kind.js';
import { hashBytes, hashModel } from '../model/hash.js';
import type { HashedFile } from '../model/model-file.js';
import { watchModel } from '../model/model-watch.js';
import { checkVocabulary } from '../model/vocabulary.js';
import { pinFile } from '../storage/file-pin.js';
import { identifyTokenizer } from '../tokenizer/open.js';
import { parametersOf } from './graph/trainable-weights.js';
import { initialWeights } from './initial-weights.js';
import { loadWeights } from './load-weights.js';
import type { Parameter, ParameterVectors } from './parameters.js';
import type { TrainSettings } from './settings.js';

export interface TrainingModel {
  readonly decoder: Decoder;
  readonly config: JsonObject;
  readonly parameters: readonly Parameter[];
  /** What the log says of the start, one line each. */
  readonly warnings: readonly string[];
  /** Hashes of its tokenizer, for either reading of control tokens. */
  readonly tokenizerHashes: readonly string[];
  /** Files that make up the tokenizer, to be copied into checkpoints. */
  readonly tokenizerFiles: readonly string[];
  /** What the first weights follow from, for the run's hash. */
  readonly origin: JsonObject;
  /**
   * The first weights: the start's, or drawn.
   * @throws fatal `model-changed` where they are not the ones that were hashed
   */
  initialWeights(): Promise<ParameterVectors>;
  /**
   * Looks at the tokenizer's files again, before they are copied into a checkpoint.
   * @throws fatal `model-changed`
   */
  look(): Promise<void>;
}

/** What belongs to a tokenizer in a Hugging Face folder. */
const TOKENIZER_FILES = new Set([
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
]);

/**
 * Opens what the settings name, without reading weights.
 * @throws usage `no-tokenizer`, `vocabulary-mismatch`; fatal errors of `openCheckpoint`, `readConfiguration` and `hashTokenizer`
 */
export async function openTrainingModel(settings: TrainSettings['model']): Promise<TrainingModel> {
  const start = settings.start === undefined ? null : await openStart(settings.start);
  const hashed = start === null ? null : await hashModel(start.files, null);
  const configPath = settings.config ?? join(settings.start ?? '', 'config.json');
  const { decoder, config } = await readConfiguration(configPath);
  const tokenizer = settings.tokenizer ?? settings.start ?? dirname(configPath);
  const parameters = parametersOf(decoder);
  const folder = settings.start ?? configPath;
  const tokenizerFiles = await filesOf(tokenizer);
  const kept = await hashedFiles(tokenizerFiles);
  return {
    decoder,
    config,
    parameters,
    warnings: start?.warnings ?? [],
    tokenizerHashes: await hashesOf(tokenizer, folder, decoder.vocabularySize),
    tokenizerFiles,
    origin: start === null ? { config, seed: settings.seed } : { start: hashed?.hash ?? null },
    async initialWeights() {
      const weights = await firstWeights(start, config, parameters, settings.seed);
      // They are in memory from here on: what becomes of the files changes nothing any more.
      if (hashed !== null) await watchModel(folder, hashed.files).look();
      return weights;
    },
    look: watchModel(tokenizer, kept).look,
  };
}

/** @throws usage `not-trainable`, and as `modelForm` and `openCheckpoint` do */
async function openStart(folder: string): Promise<Checkpoint> {
  if ((await modelForm(folder)) === 'checkpoint') return openCheckpoint(folder);
  throw usageError(
    'not-trainable',
    `${folder}: is an ONNX export, which can be scored with and not trained; name the checkpoint that it was exported from`,
  );
}

async function hashesOf(path: string, folder: string, vocabularySize: number): Promise<string[]> {
  const isFolder = existsSync(path) && (await stat(path)).isDirectory();
  if (isFolder && !existsSync(join(path, 'tokenizer.json'))) {
    throw usageError('no-tokenizer', `${path}: no tokenizer.json in the folder; name one with --tokenizer`);
  }
  const [asText, asControl] = [
    await identifyTokenizer(path, 'text'),
    await identifyTokenizer(path, 'special'),
  ];
  checkVocabulary({ folder, vocabularySize }, asText);
  return [asText.hash, asControl.hash];
}

const hashedFiles = (paths: readonly string[]): Promise<HashedFile[]> =>
  Promise.all(paths.map(async (path) => ({ ...(await pinFile(path)), sha256: await hashBytes(path) })));

async function filesOf(path: string): Promise<string[]> {
  const folder = (await stat(path)).isDirectory() ? path : dirname(path);
  const names = (await readdir(folder)).filter((name) => TOKENIZER_FILES.has(name)).sort();
  return names.map((name) => join(folder, name));
}

async function firstWeights(
  start: Checkpoint | null,
  config: JsonObject,
  parameters: readonly Parameter[],
  seed: number,
): Promise<ParameterVectors> {
  if (start !== null) return loadWeights(start, parameters);
  const range = config['initializer_range'];
  const layers = config['n_layer'];
  return initialWeights(parameters, seed, {
    deviation: typeof range === 'number' && range > 0 ? range : 0.02,
    residualLayers: typeof layers === 'number' ? layers : null,
  });
}
