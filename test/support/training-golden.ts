/** fixtures/training/, as make.py there writes it and README.md there describes it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Golden } from './oracle/golden.js';

export const OBJECTIVES = [
  'clm',
  'frozen',
  'frozen-eligible',
  'live-sequence',
  'live-microbatch',
  'live-step',
  'clm-within',
] as const;
export type ObjectiveName = (typeof OBJECTIVES)[number];

/** Of tensors by name, in the order of `sampled`. */
export interface Digest {
  readonly norms: readonly number[];
  readonly values: readonly (readonly number[])[];
}

/** Fifty entries in each list, one a step. */
export interface GoldenRun {
  readonly clip: number;
  readonly loss: readonly number[];
  readonly loss_selected: readonly number[];
  readonly loss_unselected: readonly (number | null)[];
  readonly kept: readonly number[];
  readonly gradient_norm: readonly number[];
  readonly after_one_step: Digest;
  readonly after_all_steps: Digest;
}

export type TrainingGolden = Pick<Golden, 'config' | 'dtype' | 'tensors'> &
  Readonly<Record<ObjectiveName, GoldenRun>> & {
    readonly sampled: Readonly<Record<string, readonly number[]>>;
    readonly gradients: Readonly<Record<'clm' | 'frozen' | 'live-step', Digest>>;
  };

/** What the makers of goldens set: see the header of make.py. */
export const OPTIMIZER = { learning_rate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
export const SCHEDULE = { kind: 'cosine', warmup_steps: 5, final: 0.1 } as const;
export const KEEP_PPM = 600_000;

const folder = fileURLToPath(new URL('../../fixtures/training/', import.meta.url));
const SUFFIX = '.golden.json';
const readJson = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));

export const trainingGoldenNames = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
    .sort();

export const readTrainingGolden = (name: string): TrainingGolden => readJson(name + SUFFIX) as TrainingGolden;

/** Columns [steps, accumulate, rows, length], row-major. */
export interface Batches {
  readonly shape: readonly [number, number, number, number];
  readonly ids: Int32Array;
  readonly eligible: Float32Array;
  readonly documents: Int32Array;
  /** Where positions restart: see `within`. */
  readonly positions?: Int32Array;
  readonly referenceLoss: Float32Array;
  readonly weight: Float32Array;
}

export function readBatches(): Batches {
  const raw = readJson('batches.json') as {
    readonly shape: Batches['shape'];
    readonly reference_loss: readonly (number | null)[];
  } & Readonly<Record<'ids' | 'eligible' | 'documents' | 'weight', readonly number[]>>;
  return {
    shape: raw.shape,
    ids: Int32Array.from(raw.ids),
    eligible: Float32Array.from(raw.eligible),
    documents: Int32Array.from(raw.documents),
    referenceLoss: Float32Array.from(raw.reference_loss, (loss) => loss ?? Number.NaN),
    weight: Float32Array.from(raw.weight),
  };
}

/** The same rows with attention `within`: positions restart, and a document's first token is no target. */
export function within(batches: Batches): Batches {
  const { shape, documents } = batches;
  const positions = new Int32Array(documents.length);
  for (let i = 1; i < documents.length; i++) {
    const goesOn = i % shape[3] !== 0 && documents[i] === documents[i - 1];
    positions[i] = goesOn ? positions[i - 1]! + 1 : 0;
  }
  return {
    ...batches,
    positions,
    eligible: batches.eligible.map((eligible, i) => (positions[i] === 0 ? 0 : eligible)),
  };
}
