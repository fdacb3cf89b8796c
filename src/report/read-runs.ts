import { join } from 'node:path';
import { usageError } from '../errors.js';
import { readMetrics } from '../train/metrics.js';
import { METRICS_FILE } from '../train/run-files.js';
import type { Curve, Measurement } from './curves.js';
import type { ReportSettings } from './settings.js';

/** The runs of an arm: a curve for each held-out set's name, and each run's folder. */
export interface Arm {
  readonly name: string;
  readonly folders: readonly string[];
  /** Curves by held-out set, in the order of the folders. */
  readonly heldOut: ReadonlyMap<string, readonly Curve[]>;
}

/**
 * Reads what the arms of a report measured. Sets that some run did not measure are left out.
 * @throws TokensieveError `no-held-out` (usage) when a run measured none, or no set was measured by all; errors of
 *   unreadable metrics
 */
export async function readArms({ arms, start }: Pick<ReportSettings, 'arms' | 'start'>): Promise<Arm[]> {
  const first = start === undefined ? new Map<string, Measurement>() : await lastOf(start);
  const read = await Promise.all(
    Object.entries(arms).map(async ([name, folders]) => ({
      name,
      folders,
      runs: await Promise.all(folders.map(readHeldOut)),
    })),
  );
  const runs = read.flatMap((arm) => arm.runs);
  const common = [...(runs[0]?.keys() ?? [])].filter((set) => runs.every((run) => run.has(set)));
  if (common.length === 0) {
    throw usageError(
      'no-held-out',
      `${Object.keys(arms).join(', ')}: their runs have no held-out set in common; train with the same held_out sources`,
    );
  }
  return read.map(({ name, folders, runs }) => ({
    name,
    folders,
    heldOut: new Map(
      common.map((set) => [set, runs.map((run) => [...opt(first.get(set)), ...(run.get(set) ?? [])])]),
    ),
  }));
}

const opt = <T>(value: T | undefined): readonly T[] => (value === undefined ? [] : [value]);

/** Held-out losses of a training run by set. @param folder the run's output folder */
async function readHeldOut(folder: string): Promise<Map<string, Measurement[]>> {
  const path = join(folder, METRICS_FILE);
  const curves = new Map<string, Measurement[]>();
  for await (const { step, tokens, held_out: losses } of readMetrics(path)) {
    for (const [set, loss] of Object.entries(losses ?? {})) {
      const curve = curves.get(set) ?? [];
      curves.set(set, curve);
      curve.push({ step, tokens, loss });
    }
  }
  if (curves.size > 0) return curves;
  throw usageError(
    'no-held-out',
    `${path}: holds no held-out losses; name held-out folders (held_out.sources) when training`,
  );
}

/** The last losses of the run that all arms start from, as measurements at 0 tokens. */
async function lastOf(folder: string): Promise<Map<string, Measurement>> {
  const curves = await readHeldOut(folder);
  return new Map(
    [...curves].flatMap(([set, curve]) =>
      opt(curve.at(-1)).map(({ loss }) => [set, { step: 0, tokens: 0, loss }]),
    ),
  );
}
