/**
 * A training checkpoint: a folder that transformers loads, and beside the weights what it takes to go on as if
 * nothing had happened.
 *
 *     OUT/checkpoints/step-00000123/config.json, model.safetensors, the tokenizer's files
 *                                   trainer/moments.safetensors, trainer/state.json
 *
 * It is written under a staging name, made durable file by file, and renamed: a reader sees all of it or nothing.
 */

import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fatalError, TokensieveError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { DecoderNames } from '../model/decoder.js';
import { hashBytes } from '../model/hash.js';
import { readSafetensorsHeader, type TensorEntry } from '../model/safetensors.js';
import { type Float32Tensor, writeSafetensors } from '../model/safetensors-write.js';
import { namesInFiles } from '../model/tensor-names.js';
import { ioError } from '../storage/io-error.js';
import { syncFolders } from '../storage/local.js';
import { stagingName } from '../storage/staging.js';
import {
  type CheckpointState,
  CONFIG_FILE,
  damaged,
  type FileRecord,
  MAX_STATE_BYTES,
  MOMENTS_FILE,
  parseState,
  plainName,
  STATE_FILE,
  stateBytes,
  TRAINER_FOLDER,
  type TrainingProgress,
  WEIGHTS_FILE,
} from './checkpoint-state.js';
import { scalerOf } from './graph/loss-scale.js';
import { readVectors } from './load-weights.js';
import { elementsOf, type Parameter, type ParameterVectors, type TrainerState } from './parameters.js';

const FIRST_MOMENT = 'first_moment.';
const SECOND_MOMENT = 'second_moment.';
/** transformers looks for it before it takes a file for PyTorch weights. */
const METADATA = { format: 'pt' };

export interface NewCheckpoint {
  /** config.json; its type of weights is set to float32, which they are. */
  readonly config: JsonObject;
  /** Paths of the tokenizer's files, copied under their own names. */
  readonly tokenizerFiles: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly state: TrainerState;
  readonly progress: TrainingProgress;
}

/** A checkpoint on disk, every file of which is what it was when it was written. */
export interface StoredCheckpoint {
  readonly folder: string;
  readonly state: CheckpointState;
}

export const checkpointsFolder = (out: string): string => join(out, 'checkpoints');
export const stepName = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/**
 * Writes the checkpoint of a step. One that lies there already is replaced.
 * @returns its folder
 * @throws fatal `bad-checkpoint` for what no checkpoint can hold, `bad-tensor`, and what storage throws
 */
export async function writeCheckpoint(out: string, checkpoint: NewCheckpoint): Promise<string> {
  const parent = checkpointsFolder(out);
  const name = stepName(checkpoint.progress.step);
  const staging = join(parent, stagingName(name));
  const folder = join(parent, name);
  try {
    const firstMade = await mkdir(parent, { recursive: true });
    await mkdir(join(staging, TRAINER_FOLDER), { recursive: true });
    await writeFiles(staging, checkpoint);
    await syncFolders(join(staging, TRAINER_FOLDER), join(staging, TRAINER_FOLDER));
    await moveInPlace(staging, folder);
    await syncFolders(parent, firstMade);
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => {});
    throw ioError('write', folder, error);
  }
  return folder;
}

async function writeFiles(folder: string, checkpoint: NewCheckpoint): Promise<void> {
  const { config, tokenizerFiles, parameters, state, progress } = checkpoint;
  const files: FileRecord[] = [];
  const keep = async (name: string, bytes: Uint8Array): Promise<void> => {
    if (!plainName.test(name) || name === WEIGHTS_FILE || files.some((file) => file.name === name)) {
      throw fatalError(
        'bad-checkpoint',
        `${folder}: cannot hold ${JSON.stringify(name)} of the tokenizer; rename it`,
      );
    }
    await writeDurably(join(folder, name), bytes);
    files.push({ name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  };
  // Both spellings: transformers 5 reads the first, releases before it the second.
  const typed = { ...config, dtype: 'float32', torch_dtype: 'float32' };
  await keep(CONFIG_FILE, Buffer.from(`${JSON.stringify(typed, null, 2)}\n`));
  for (const path of tokenizerFiles) await keep(basename(path), await readFile(path));
  const weights = tensorsOf('', parameters, state.weights);
  const moments = [
    ...tensorsOf(FIRST_MOMENT, parameters, state.firstMoment),
    ...tensorsOf(SECOND_MOMENT, parameters, state.secondMoment),
  ];
  for (const [file, tensors] of [
    [WEIGHTS_FILE, weights],
    [MOMENTS_FILE, moments],
  ] as const) {
    files.push({ name: file, ...(await writeSafetensors(join(folder, file), tensors, METADATA)) });
  }
  const path = join(folder, STATE_FILE);
  await writeDurably(path, stateBytes(progress, files, path));
}

const tensorsOf = (
  prefix: string,
  parameters: readonly Parameter[],
  vectors: ParameterVectors,
): Float32Tensor[] =>
  parameters.map((parameter) => ({
    name: prefix + parameter.name,
    shape: parameter.shape,
    data: elementsOf(vectors, parameter),
  }));

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Renames a staged folder to its name. No rename replaces a folder that is not empty, so one that is there goes
 * aside first: killed between the two renames, the name is free and readers find the checkpoint before it.
 */
export async function moveInPlace(staging: string, folder: string): Promise<void> {
  const aside = join(staging, '..', stagingName(basename(folder)));
  const replaces = await rename(folder, aside).then(
    () => true,
    (error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
      throw error;
    },
  );
  await rename(staging, folder);
  if (replaces) await rm(aside, { recursive: true, force: true });
}

/**
 * Opens a checkpoint and checks every byte of it: sizes and sha256 of all files against state.json.
 * @throws fatal `bad-checkpoint` naming the file or the field
 */
export async function readCheckpoint(folder: string): Promise<StoredCheckpoint> {
  const path = join(folder, STATE_FILE);
  const size = await sizeOf(path);
  if (size > MAX_STATE_BYTES) throw damaged(path, `has ${size} bytes, more than ${MAX_STATE_BYTES}`);
  const state = parseState(await readFile(path, 'utf8'), path);
  for (const file of state.files) {
    const found = await sizeOf(join(folder, file.name));
    if (found !== file.bytes) {
      throw damaged(join(folder, file.name), `has ${found} bytes where state.json says ${file.bytes}`);
    }
  }
  for (const file of state.files) {
    const found = await hashBytes(join(folder, file.name)).catch((error: unknown) => {
      throw ioError('read', join(folder, file.name), error);
    });
    if (found !== file.sha256) {
      throw damaged(join(folder, file.name), `has sha256 ${found} where state.json says ${file.sha256}`);
    }
  }
  return { folder, state };
}

/** Bytes of a regular file: a pipe or a device in its place must not be waited for. */
async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path);
    if (found.isFile()) return found.size;
  } catch (error) {
    const reason = ioError('read', path, error);
    if (reason.code !== 'not-found') throw reason;
    throw damaged(path, 'is missing', { cause: error });
  }
  throw damaged(path, 'is not a file');
}

/**
 * Weights and moments of a checkpoint, and its loss scale where it has one.
 * @param parameters of the model in training, which the checkpoint must be of
 * @param names of its decoder: earlier versions kept the names that the start had (`wte.weight` of GPT-2 as it was published)
 * @throws fatal `missing-tensor`, `wrong-shape`, naming the tensor
 */
export async function loadTrainerState(
  { folder, state }: Pick<StoredCheckpoint, 'folder'> & { readonly state?: Pick<CheckpointState, 'extra'> },
  parameters: readonly Parameter[],
  names?: DecoderNames,
): Promise<TrainerState> {
  const [weights, moments] = [join(folder, WEIGHTS_FILE), join(folder, MOMENTS_FILE)];
  const byName = async (path: string): Promise<ReadonlyMap<string, TensorEntry>> =>
    new Map((await readSafetensorsHeader(path)).map((entry) => [entry.name, entry]));
  const moment = await byName(moments);
  const read = (path: string, tensors: ReadonlyMap<string, TensorEntry>, prefix: string) =>
    readVectors(path, tensors, parameters, (name) =>
      (names === undefined ? [name] : namesInFiles(names, name)).map((one) => prefix + one),
    );
  const scaler = scalerOf(state?.extra ?? {});
  if (scaler === undefined)
    throw damaged(join(folder, STATE_FILE), 'has a field extra.loss_scaling that is none');
  return {
    weights: await read(weights, await byName(weights), ''),
    firstMoment: await read(moments, moment, FIRST_MOMENT),
    secondMoment: await read(moments, moment, SECOND_MOMENT),
    ...(scaler !== null && { scaler }),
  };
}

/** Whether an error says that a checkpoint is damaged, and not that it could not be read. */
export const isDamage = (error: unknown): error is TokensieveError =>
  error instanceof TokensieveError && error.code === 'bad-checkpoint';
