/** Learning rates and AdamW's per-step scalars: pure functions of the step. */
import type { TrainSettings } from './settings.js';

type Schedule = TrainSettings['schedule'];
type Optimizer = TrainSettings['optimizer'];

/**
 * Learning rate of step s (1-based) of `steps`: linear warm-up to the peak at step `warmup_steps`, then constant or
 * half a cosine down to `final` times the peak at the last step.
 */
export function learningRate(step: number, steps: number, schedule: Schedule, peak: number): number {
  const { kind, warmup_steps: warmup, final } = schedule;
  if (step <= warmup) return (peak * step) / warmup;
  if (kind === 'constant') return peak;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  return peak * (final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}

/**
 * The row of the step graph's input `rates` for step s: columns as in `RATES`.
 * @param taken steps by which the moments are corrected: those up to this one that moved something
 */
export function stepRates(
  step: number,
  steps: number,
  schedule: Schedule,
  { learning_rate: peak, beta1, beta2, epsilon, weight_decay: decay }: Optimizer,
  taken = step,
): readonly [number, number, number, number] {
  const rate = learningRate(step, steps, schedule, peak);
  const root = Math.sqrt(1 - beta2 ** taken);
  return [(rate * root) / (1 - beta1 ** taken), epsilon * root, 1 - rate * decay, rate];
}
