/** Whether stored weights leave a run anything to learn from, told before its first step. */
import { usageError } from '../errors.js';
import type { DataDescription } from './batch.js';
import type { Objective } from './graph/step-settings.js';
import type { TrainSettings } from './settings.js';

/**
 * Lines on sources whose stored weights keep fewer tokens than there are steps.
 * @throws TokensieveError (usage) `nothing-kept` where no source keeps a token: no step would move anything
 */
export function keptTokenWarnings(
  { kind, selection }: TrainSettings['loss'],
  { kind: objective }: Objective,
  { sources }: Pick<DataDescription, 'sources'>,
  steps: number,
): string[] {
  // Weights that are ranked as training goes always keep one.
  if (kind === 'clm' || objective !== 'frozen' || selection === 'refresh') return [];
  const [first] = sources;
  if (sources.every(({ kept }) => kept === 0)) {
    throw usageError(
      'nothing-kept',
      `${first?.path}: none of its ${first?.targets} targets has a weight above 0, so that no step would move anything; select again with another threshold, share or scope, or train on all tokens (--loss clm)`,
    );
  }
  return sources.flatMap(({ path, kept, targets }) =>
    kept === null || kept >= steps
      ? []
      : [
          `${path}: ${kept} of its ${targets} targets have a weight above 0, fewer than the ${steps} steps; a step that keeps no token moves nothing: select again with another threshold, share or scope if this is not meant`,
        ],
  );
}
