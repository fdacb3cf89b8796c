/** Ranking on the host, for weights that are made ahead of training (`refresh`): by the code of `tokensieve select`. */
import { markKept, rankInMemory, runCuts } from '../select/ranking.js';
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
  const kept = new Uint8Array(scores.length);
  const flags = Uint8Array.from(eligible);
  const scratch = { keys: new Uint32Array(0) };
  for (let start = 0; start < scores.length; start += groupSize) {
    const end = Math.min(start + groupSize, scores.length);
    const group = { scores: scores.subarray(start, end), eligible: flags.subarray(start, end) };
    const cuts = rankInMemory([group], (count) => [0, keptOf(keepPpm, count, rounding)], scratch);
    markKept(group, runCuts(cuts), kept.subarray(start, end));
  }
  return Float32Array.from(kept);
}
