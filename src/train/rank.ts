/** Ranking on the host, for weights that are made ahead of training (`refresh`). Same rule as in the graph. */
import { keptOf } from '../select/share.js';
import type { RankingRule } from './graph/ranking.js';

/**
 * Weight 1 for the kept tokens of every group of `groupSize` consecutive entries, else 0; highest score first, ties
 * to the earlier token.
 * @param scores [n] nats · @param eligible [n] 0 or 1
 */
export function rankTokens(
  scores: Float32Array,
  eligible: Float32Array,
  groupSize: number,
  { keepPpm, rounding }: RankingRule,
): Float32Array {
  const weights = new Float32Array(scores.length);
  for (let start = 0; start < scores.length; start += groupSize) {
    const end = Math.min(start + groupSize, scores.length);
    const order: number[] = [];
    for (let i = start; i < end; i++) if (eligible[i] === 1) order.push(i);
    order.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
    for (const index of order.slice(0, keptOf(keepPpm, order.length, rounding))) weights[index] = 1;
  }
  return weights;
}
