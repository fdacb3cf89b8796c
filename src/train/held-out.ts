/** Held-out loss as training goes: the model's own forward pass over rows set aside. */

import { findSource } from '../dataset/source.js';
import { tellOf } from '../parts/tell-of.js';
import type { Storage } from '../storage/storage.js';
import type { DataDescription, StepBatch } from './batch.js';
import { heldOutBatches } from './data/held-out.js';
import type { TrainSink } from './events.js';
import type { LossesOf } from './refresh.js';
import type { TrainSettings } from './settings.js';

/** Batches of each held-out folder, by name, read once: they are the same at every measurement. */
export type HeldOut = ReadonlyMap<string, readonly StepBatch[]>;

/** Mean loss of the eligible tokens, in nats, by name. Sums in float64. */
export async function heldOutLosses(
  heldOut: HeldOut,
  length: number,
  lossesOf: LossesOf,
): Promise<Record<string, number>> {
  const means: Record<string, number> = {};
  for (const [name, batches] of heldOut) {
    let sum = 0;
    let count = 0;
    for (const batch of batches) {
      const losses = await lossesOf(batch, 0);
      losses.forEach((loss, index) => {
        const row = Math.floor(index / (length - 1));
        const t = (index % (length - 1)) + 1;
        if (batch.eligible[row * length + t] !== 1) return;
        sum += loss;
        count++;
      });
    }
    means[name] = sum / count;
  }
  return means;
}

/** Reads the rows set aside, in batches of the trainer's own shape. */
export async function openHeldOut(
  storage: Storage,
  { held_out: settings, batch }: Pick<TrainSettings, 'held_out' | 'batch'>,
  data: DataDescription,
  sink: TrainSink,
): Promise<HeldOut> {
  const opened = new Map<string, readonly StepBatch[]>();
  for (const [name, folder] of Object.entries(settings.sources)) {
    await tellOf(storage, await findSource(storage, folder), sink);
    opened.set(name, await heldOutBatches(storage, folder, settings.tokens, batch.rows, data));
  }
  return opened;
}
