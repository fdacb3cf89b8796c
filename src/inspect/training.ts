import { basename, join } from 'node:path';
import { checkpointFolders } from '../train/checkpoints.js';
import { readMetrics } from '../train/metrics.js';
import { METRICS_FILE } from '../train/run-files.js';
import type { StepMetrics } from '../train/step-metrics.js';

/** The output folder of a training run. */
export interface TrainingInspection {
  readonly kind: 'training';
  readonly path: string;
  /** Null when no step was recorded. */
  readonly last: StepMetrics | null;
  /** The newest held-out losses, and the step they were measured at. */
  readonly heldOut: { readonly step: number; readonly losses: Readonly<Record<string, number>> } | null;
  /** Names of the checkpoints, newest first. */
  readonly checkpoints: readonly string[];
}

/** Whether a folder with these files may be one: `tokensieve train` writes its metrics first. */
export const looksLikeTraining = (names: readonly string[]): boolean => names.includes(METRICS_FILE);

/**
 * How far a training run is, from its metrics and the names of its checkpoints; null when it has none.
 * @throws TokensieveError (input) `bad-metrics`
 */
export async function inspectTraining(path: string): Promise<TrainingInspection | null> {
  const checkpoints = (await checkpointFolders(path)).map((folder) => basename(folder));
  if (checkpoints.length === 0) return null;
  let last: StepMetrics | null = null;
  let heldOut: TrainingInspection['heldOut'] = null;
  for await (const metrics of readMetrics(join(path, METRICS_FILE))) {
    last = metrics;
    if (metrics.held_out !== undefined) heldOut = { step: metrics.step, losses: metrics.held_out };
  }
  return { kind: 'training', path, last, heldOut, checkpoints };
}
