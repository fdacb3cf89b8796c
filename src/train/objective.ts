/** From settings and data to what the step graph minimises. */
import { usageError } from '../errors.js';
import { ppmOf } from '../select/share.js';
import type { DataDescription } from './batch.js';
import type { RankingRule } from './graph/ranking.js';
import type { Objective } from './graph/step-settings.js';
import type { TrainSettings } from './settings.js';

/** Share kept and rounding, for live and refreshed selection. */
export const ruleOf = ({ keep, rounding }: TrainSettings['loss']): RankingRule => ({
  keepPpm: ppmOf(keep, 'keep'),
  rounding,
});

/**
 * Refreshed weights are made ahead, on the host, and are then frozen ones.
 * @throws usage `no-reference-loss`, `no-weights` when the data lacks what the loss needs
 */
export function objectiveOf(loss: TrainSettings['loss'], data: DataDescription): Objective {
  if (loss.kind === 'clm') return { kind: 'clm' };
  const folders = data.sources.map(({ path }) => path).join(', ');
  if (loss.selection === 'frozen') {
    if (data.hasWeights) return { kind: 'frozen' };
    throw usageError(
      'no-weights',
      `${folders}: no stored weights, which --selection frozen trains by; run \`tokensieve select\` on the scored files, or use --selection live`,
    );
  }
  if (!data.hasReferenceLoss) {
    throw usageError(
      'no-reference-loss',
      `${folders}: no stored reference losses, which --selection ${loss.selection} ranks by; score the corpus with \`tokensieve score --reference\``,
    );
  }
  if (loss.selection === 'refresh') return { kind: 'frozen' };
  return { kind: 'live', scope: loss.scope, rule: ruleOf(loss) };
}
