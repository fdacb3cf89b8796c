/** What the last bits of a step depend on besides settings and data: a checkpoint remembers it, a resumed run compares. */
import { availableParallelism } from 'node:os';
import { explainDifference } from '../dataset/manifest.js';
import { readCards } from '../device/card.js';
import { type NumericProfile, numericProfile } from '../device/numeric-profile.js';
import { usesTf32 } from '../device/tf32.js';
import type { Device, Precision } from '../model/prepared-model.js';
import type { CheckpointState } from './checkpoint-state.js';

export interface StepProfile extends NumericProfile {
  readonly threads: number;
}

/** @param threads as set; 0 takes every core */
export const stepProfile = (device: Device, threads: number, precision: Precision = 'fp32'): StepProfile => ({
  // Steps on CUDA leave TF32 to the runtime, which allows it.
  ...(device === 'cuda'
    ? numericProfile(device, precision, readCards()[0] ?? null, usesTf32('fp16'))
    : { ...numericProfile(device), precision }),
  threads: threads || availableParallelism(),
});

/** Where the profile goes in a checkpoint. */
export const profileEntry = (profile: StepProfile): CheckpointState['extra'] => ({
  numeric_profile: profile,
});

/**
 * A line for a run that goes on elsewhere than its checkpoint was made; null where nothing differs. It is told, not
 * refused: moving a run to another machine is a thing people do, and losses move by rounding alone.
 */
export function profileChange({ extra, step }: CheckpointState, now: StepProfile): string | null {
  const before = extra['numeric_profile'];
  if (before === undefined) return null;
  const changes = explainDifference(before, now);
  if (changes.length === 0) return null;
  return `going on from step ${step} under another numeric profile (${changes.join('; ')}): the weights may differ in their last bits from those of a run that stayed`;
}
