import { countPositive, sumFrom } from '../numbers/sums.js';
import { createHistogram, EXCESS_LAYOUT, type Histogram, LOSS_LAYOUT } from './histogram.js';
import { LOSS_COLUMNS, rowsOf, type SequenceBatch, type TokenColumn, tokensOf } from './sequence-batch.js';

/** What a manifest says about a sequence file's rows; recomputed from the file by `verify`. */
export interface SequenceStatistics {
  readonly sequences: number;
  readonly tokens: number;
  /** Targets: tokens with a loss, where the file has a loss or entropy column; else tokens of weight above 0. */
  readonly eligible?: number;
  /** Tokens of weight above 0, and the fp64 sum of weights in file order, where the file has weights. */
  readonly kept?: number;
  readonly weight_sum?: number;
  /** By column name; `excess` is fp32(current) − fp32(reference), where the file has both. */
  readonly histograms: Readonly<Record<string, Histogram>>;
}

export interface StatisticsAccumulator {
  /** Batches in file order; where they are cut does not matter. */
  add(batch: SequenceBatch): void;
  result(): SequenceStatistics;
}

/** @param known histograms of these very rows: where none is missing, losses are not looked at again */
export function createStatistics(
  columns: readonly TokenColumn[],
  known: SequenceStatistics['histograms'] = {},
): StatisticsAccumulator {
  const losses = LOSS_COLUMNS.filter((name) => columns.includes(name));
  const paired = columns.includes('reference_loss') && columns.includes('current_loss');
  const names = [...losses, ...(paired ? ['excess'] : [])];
  const copied = names.length > 0 && names.every((name) => known[name] !== undefined);
  const histograms = losses.map((name) => ({ name, histogram: createHistogram(LOSS_LAYOUT) }));
  const excess = paired ? createHistogram(EXCESS_LAYOUT) : undefined;
  const weighted = columns.includes('weight');
  let sequences = 0;
  let tokens = 0;
  let kept = 0;
  let weightSum = 0;
  let scratch: Float32Array = new Float32Array(0);
  return {
    add(batch) {
      sequences += rowsOf(batch);
      tokens += tokensOf(batch);
      const { reference_loss: reference, current_loss: current, weight } = batch.columns;
      if (!copied) {
        for (const { name, histogram } of histograms)
          histogram.add(batch.columns[name] ?? new Float32Array(0));
      }
      if (!copied && excess !== undefined && reference !== undefined && current !== undefined) {
        if (scratch.length < current.length) scratch = new Float32Array(current.length);
        excess.add(excessOf(current, reference, scratch.subarray(0, current.length)));
      }
      if (weighted && weight !== undefined) {
        kept += countPositive(weight);
        weightSum = sumFrom(weightSum, weight);
      }
    },
    result() {
      const results = histograms.map(
        ({ name, histogram }) => [name, (copied ? known[name] : undefined) ?? histogram.result()] as const,
      );
      const eligible = results[0]?.[1].count ?? (weighted ? kept : undefined);
      return {
        sequences,
        tokens,
        ...(eligible === undefined ? {} : { eligible }),
        ...(weighted ? { kept, weight_sum: weightSum } : {}),
        histograms: {
          ...Object.fromEntries(results),
          ...(excess === undefined
            ? {}
            : { excess: (copied ? known['excess'] : undefined) ?? excess.result() }),
        },
      };
    },
  };
}

/** [n] excess losses fp32(current) − fp32(reference), rounded to fp32. NaN where either is. */
export function excessOf(
  current: Float32Array,
  reference: Float32Array,
  excess: Float32Array = new Float32Array(current.length),
): Float32Array {
  for (let i = 0; i < excess.length; i++) excess[i] = (current[i] as number) - (reference[i] as number);
  return excess;
}
