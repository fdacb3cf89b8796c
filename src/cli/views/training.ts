import type { TrainingInspection } from '../../inspect/training.js';
import { count, percent } from '../format.js';
import { cell, facts, pathCell, screen } from './screen.js';

const nats = (loss: number): string => `${loss.toFixed(4)} nats`;

export function trainingText({ path, last, heldOut, checkpoints }: TrainingInspection): string {
  const measured =
    heldOut && Object.entries(heldOut.losses).map(([name, loss]) => `${cell(name)} ${nats(loss)}`);
  return screen([
    `training run ${pathCell(path)}`,
    facts([
      ['steps', last && count(last.step)],
      ['tokens', last && count(last.tokens)],
      [
        'last step',
        last &&
          `${last.loss_selected === null ? 'nothing learnt' : nats(last.loss_selected)} on ${count(last.kept)} of ${count(last.eligible)} tokens (${percent(last.kept / Math.max(1, last.eligible))})`,
      ],
      [
        'empty steps',
        last?.empty_steps === undefined ? null : `${count(last.empty_steps)} kept no token and moved nothing`,
      ],
      ['held out', heldOut && measured && `${measured.join(', ')} at step ${count(heldOut.step)}`],
      ['checkpoints', checkpoints.join(', ')],
    ]),
  ]);
}
