import { EXCESS_LAYOUT, LOSS_LAYOUT } from '../dataset/histogram.js';
import type { EligibleTokens } from './eligible.js';
import { createFloatBins, type FloatBins } from './float-bins.js';
import type { Measured } from './group-sums.js';
import {
  AUDIT_COLUMNS,
  type AuditColumn,
  type ColumnStatistics,
  type Distribution,
  type KeptBy,
} from './report.js';

const QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/** Columns whose tenths are shown. */
const TENTHS: Readonly<Partial<Record<AuditColumn, string>>> = {
  excess: 'excess loss (nats), in tenths of the eligible tokens',
  current_loss: 'current loss (nats), in tenths of the eligible tokens',
  reference_loss: 'reference loss (nats), in tenths of the eligible tokens',
};

/** The spread of every measured column. */
export interface Distributions {
  add(tokens: EligibleTokens): void;
  columns(): ColumnStatistics[];
  distributions(): Distribution[];
  tenths(measured: Measured): KeptBy[];
  /** Eligible tokens with an excess of exactly 0, and whether all have one and the same; null without an excess. */
  calibration(): { readonly zero: number; readonly constant: boolean } | null;
}

export function createDistributions(): Distributions {
  const spreads = new Map<AuditColumn, Spread>();
  let zero = 0;
  return {
    add(tokens) {
      for (const name of AUDIT_COLUMNS) {
        const values = name === 'excess' ? tokens.excess : tokens.losses[name];
        if (values === undefined) continue;
        const spread = spreads.get(name) ?? createSpread(name);
        spreads.set(name, spread);
        spread.add(tokens, values);
      }
      const { excess, count } = tokens;
      for (let i = 0; excess !== undefined && i < count; i++) if (excess[i] === 0) zero++;
    },
    columns: () => [...spreads.values()].flatMap((spread) => spread.column()),
    distributions: () => [...spreads.values()].map((spread) => spread.distribution()),
    tenths: (measured) =>
      Object.entries(TENTHS).flatMap(
        ([name, label]) => spreads.get(name as AuditColumn)?.bins.tenths(name, label, measured) ?? [],
      ),
    calibration() {
      const excess = spreads.get('excess');
      return excess === undefined ? null : { zero, constant: excess.constant() };
    },
  };
}

interface Spread {
  readonly bins: FloatBins;
  add(tokens: EligibleTokens, values: Float32Array): void;
  column(): ColumnStatistics[];
  distribution(): Distribution;
  constant(): boolean;
}

function createSpread(name: AuditColumn): Spread {
  const { lower, width, bins: binCount } = name === 'excess' ? EXCESS_LAYOUT : LOSS_LAYOUT;
  const bins = createFloatBins();
  const scale = 1 / width;
  const first = lower * scale - 1;
  const last = binCount + 1;
  // Below, the bins, above: of all tokens, and of the kept ones.
  const all = new Float64Array(binCount + 2);
  const kept = new Float64Array(binCount + 2);
  let weighted = false;
  let total = { count: 0, sum: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
  return {
    bins,
    add(tokens, values) {
      bins.add(tokens, values);
      weighted = tokens.kept !== undefined;
      let { count, sum, min, max } = total; // locals: numbers captured by a closure are boxed at every change
      count += tokens.count;
      for (let i = 0; i < tokens.count; i++) {
        const value = values[i] as number;
        sum += value;
        if (value < min) min = value;
        if (value > max) max = value;
        const slot = Math.max(0, Math.min(last, Math.floor(value * scale) - first));
        all[slot] = (all[slot] as number) + 1;
        if (tokens.kept !== undefined) kept[slot] = (kept[slot] as number) + (tokens.kept[i] as number);
      }
      total = { count, sum, min, max };
    },
    column() {
      const { count, sum, min, max } = total;
      if (count === 0) return [];
      const values = bins.quantiles(QUANTILES, total);
      const quantiles = QUANTILES.map((q, i) => ({ q, value: values[i] ?? 0 }));
      return [{ name, count, mean: sum / count, min, max, quantiles }];
    },
    distribution: () => ({
      column: name,
      lower,
      width,
      kept: weighted ? [...kept.subarray(1, last)] : null,
      dropped: weighted ? [...kept.subarray(1, last)].map((k, i) => (all[i + 1] ?? 0) - k) : null,
      all: [...all.subarray(1, last)],
      below: all[0] ?? 0,
      above: all[last] ?? 0,
    }),
    constant: () => total.count > 0 && total.min === total.max,
  };
}
