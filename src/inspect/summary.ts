import type { Histogram } from '../dataset/histogram.js';

/** A column of losses, entropies or excess losses in four numbers (nats). */
export interface ColumnSummary {
  readonly name: string;
  readonly count: number;
  /** Null when there is no value. */
  readonly mean: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

export function summaries(histograms: Readonly<Record<string, Histogram>>): ColumnSummary[] {
  return Object.entries(histograms).map(([name, { count, sum, min, max }]) => ({
    name,
    count,
    mean: count === 0 ? null : sum / count,
    min,
    max,
  }));
}
