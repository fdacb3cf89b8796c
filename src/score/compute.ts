/** How the models of a run compute: where, in what precision, in what batches. Planned once; its parts are fingerprinted. */

import { type Card, readCards } from '../device/card.js';
import { tokensThatFit } from '../device/card-memory.js';
import { type NumericProfile, numericProfile } from '../device/numeric-profile.js';
import { usageError } from '../errors.js';
import type { Device, ModelInfo, Precision } from '../model/prepared-model.js';
import type { BatchShape } from '../onnx/graph.js';
import type { AttentionScope } from '../sequence/packing.js';

/** Tokens a batch where nothing sets them and no card's memory is known. */
export const DEFAULT_BATCH_TOKENS = 4096;

export interface ComputeSettings {
  readonly precision: Precision | 'auto';
  /** Null: by the device. */
  readonly batchTokens: number | null;
  /** Gigabytes (10⁹) of a card's memory to plan by; null: what nvidia-smi says. */
  readonly cardMemory: number | null;
  /** Lanes of pairs of models, and cards to share them; null cards: all that are visible. */
  readonly workers: number;
  readonly cards: number | null;
  readonly length: number;
  readonly attention: AttentionScope;
  readonly entropy: boolean;
}

export interface Compute {
  readonly device: Device;
  readonly precision: Precision;
  readonly batchTokens: number;
  /** The one shape of batch on CUDA, null elsewhere. */
  readonly batch: BatchShape | null;
  /** Cards that lanes take in turn. */
  readonly cards: number;
  readonly profile: NumericProfile;
  /** For the log; null where there is nothing to say. */
  readonly note: string | null;
}

/**
 * @param cards read when the device is CUDA
 * @throws usage `precision-needs-cuda`, `too-many-cards`, `card-too-small`
 */
export function planCompute(
  device: Device,
  models: readonly ModelInfo[],
  settings: ComputeSettings,
  cards: () => readonly Card[] = readCards,
): Compute {
  const precision = choosePrecision(device, models, settings.precision);
  if (device !== 'cuda') {
    const batchTokens = settings.batchTokens ?? DEFAULT_BATCH_TOKENS;
    return {
      device,
      precision,
      batchTokens,
      batch: null,
      cards: 1,
      profile: numericProfile(device),
      note: null,
    };
  }
  const found = cards();
  const used = countCards(settings.cards, found);
  const [card = null] = found;
  const memory = settings.cardMemory !== null ? settings.cardMemory * 1e9 : smallest(found.slice(0, used));
  const { length, attention, entropy } = settings;
  const pairs = Math.ceil(settings.workers / used);
  const needs = { models, precision, length, attention, entropy, pairs };
  const batchTokens =
    settings.batchTokens ?? (memory === null ? DEFAULT_BATCH_TOKENS : tokensThatFit(needs, memory));
  const rows = Math.max(1, Math.floor(batchTokens / length));
  const known =
    memory === null
      ? 'memory unknown (nvidia-smi does not run; set run.card_memory)'
      : `${(memory / 1e9).toFixed(1)} GB`;
  return {
    device,
    precision,
    batchTokens,
    batch: { rows, length },
    cards: used,
    profile: numericProfile(device, precision, card),
    note: `${precision} on ${used === 1 ? (card?.name ?? 'a card') : `${used} cards`}, ${known}: batches of ${rows} × ${length} tokens`,
  };
}

function choosePrecision(
  device: Device,
  models: readonly ModelInfo[],
  wanted: Precision | 'auto',
): Precision {
  if (device === 'cuda') return wanted === 'auto' ? automatic(models) : wanted;
  if (wanted === 'auto' || wanted === 'fp32') return 'fp32';
  throw usageError(
    'precision-needs-cuda',
    `score.precision is ${wanted}, and device ${device} computes in fp32 alone; use --precision auto, or --device cuda`,
  );
}

/**
 * fp16 has three more bits than bf16 at the same speed: an eighth of the error, a twentieth of the flips. But it ends at
 * 65504, which models trained in bf16 may pass; so bf16 where any is stored so. An export keeps what it was exported in.
 */
function automatic(models: readonly ModelInfo[]): Precision {
  if (models.some(({ architecture }) => architecture === 'onnx')) return 'fp32';
  return models.some(({ weightType }) => weightType === 'BF16') ? 'bf16' : 'fp16';
}

function countCards(wanted: number | null, found: readonly Card[]): number {
  if (wanted === null) return Math.max(1, found.length);
  if (found.length === 0 || wanted <= found.length) return wanted;
  throw usageError(
    'too-many-cards',
    `run.cards is ${wanted}, and ${found.length} can be seen (CUDA_VISIBLE_DEVICES is ${process.env['CUDA_VISIBLE_DEVICES'] ?? 'not set'}); set it to ${found.length} or less`,
  );
}

const smallest = (cards: readonly Card[]): number | null =>
  cards.length === 0 ? null : Math.min(...cards.map(({ memoryBytes }) => memoryBytes));
