/** trainer/state.json of a checkpoint: how far the run is, and what each of the checkpoint's files must be. */
import { z } from 'zod';
import { fatalError } from '../errors.js';
import { canonicalJson, isJsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import { isBroken, sealed } from '../json/sealed.js';
import type { DataPosition } from './batch.js';

export const STATE_VERSION = 1;

/** Names within a checkpoint's folder. */
export const CONFIG_FILE = 'config.json';
export const WEIGHTS_FILE = 'model.safetensors';
export const TRAINER_FOLDER = 'trainer';
export const MOMENTS_FILE = `${TRAINER_FOLDER}/moments.safetensors`;
export const STATE_FILE = `${TRAINER_FOLDER}/state.json`;
const REQUIRED_FILES = [CONFIG_FILE, WEIGHTS_FILE, MOMENTS_FILE];

/** Longest state.json that is read: a hundred times a real one. */
export const MAX_STATE_BYTES = 2 ** 20;

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits');

/** A file's name beside config.json; what begins with a dot is a staging file's. */
export const plainName = /^[\w-][\w.-]{0,254}$/;

const file = z.strictObject({
  name: z
    .string()
    .refine((name) => name === MOMENTS_FILE || plainName.test(name), 'expected a file name without a folder'),
  bytes: count,
  sha256,
});

const stateSchema = z.strictObject({
  version: z.literal(STATE_VERSION),
  step: count,
  tokens: count,
  position: z.strictObject({ rows: count, sources: z.array(count).max(64).readonly() }).readonly(),
  settings_hash: sha256,
  data_hash: sha256,
  metrics_bytes: count,
  extra: z.record(z.string(), z.unknown()).readonly(),
  files: z.array(file).max(256).readonly(),
  /** Of everything else in the file; absent in checkpoints of early versions. */
  digest: sha256.optional(),
});

/** How far a run is: everything, beside the tensors, that the steps to come follow from. */
export interface TrainingProgress {
  /** Optimiser steps taken. */
  readonly step: number;
  /** Targets seen so far. */
  readonly tokens: number;
  readonly position: DataPosition;
  /** sha256 over the settings that decide the weights. */
  readonly settings_hash: string;
  /** `DataDescription.hash` of what is trained on. */
  readonly data_hash: string;
  /** Length of metrics.jsonl at this step: it is cut back to it on resume. */
  readonly metrics_bytes: number;
  /** Whatever else the loop carries over, as plain JSON; given back as it was. */
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface FileRecord {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface CheckpointState extends TrainingProgress {
  readonly version: typeof STATE_VERSION;
  readonly files: readonly FileRecord[];
}

/** @throws fatal `bad-checkpoint` naming the field that breaks the schema */
export function stateBytes(
  progress: TrainingProgress,
  files: readonly FileRecord[],
  path: string,
): Uint8Array {
  const state: CheckpointState = { ...progress, version: STATE_VERSION, files };
  const problem = problemOf(stateSchema.safeParse(state), files);
  if (problem !== undefined) throw fatalError('bad-checkpoint', `${path}: to be written with ${problem}`);
  return Buffer.from(`${canonicalJson(sealed({ ...state }))}\n`);
}

/** @throws fatal `bad-checkpoint` naming the file and the field */
export function parseState(text: string, path: string): CheckpointState {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    throw damaged(path, 'is not JSON', { cause: error });
  }
  const parsed = stateSchema.safeParse(json);
  const problem = problemOf(parsed, parsed.data?.files ?? []);
  if (!parsed.success || problem !== undefined) throw damaged(path, `has ${problem}`);
  if (isJsonObject(json) && isBroken(json))
    throw damaged(path, 'has a digest that is not that of its content');
  const { digest: _, ...state } = parsed.data;
  return state;
}

/** A checkpoint that cannot be trusted. */
export const damaged = (path: string, found: string, options?: ErrorOptions) =>
  fatalError(
    'bad-checkpoint',
    `${path}: ${found}; expected what the trainer wrote: remove this checkpoint and resume from the one before it`,
    options,
  );

function problemOf(parsed: z.ZodSafeParseResult<unknown>, files: readonly FileRecord[]): string | undefined {
  const [issue] = parsed.error?.issues ?? [];
  if (issue !== undefined) return `field ${issue.path.join('.') || '(whole)'}: ${issue.message}`;
  const names = new Set(files.map(({ name }) => name));
  if (names.size < files.length) return 'field files: a name twice';
  const missing = REQUIRED_FILES.find((name) => !names.has(name));
  return missing && `field files: no ${missing}`;
}
