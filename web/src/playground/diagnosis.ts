/** What speaks against a selection over this text: by the rules of `tokensieve select`, from losses that are there. */
import { diagnose, enoughTokens } from '#tokensieve/select/diagnosis/diagnose.js';
import { createExcessTally } from '#tokensieve/select/diagnosis/excess-figures.js';
import type { Finding } from '#tokensieve/select/diagnosis/finding.js';
import { keptByExcess } from '#tokensieve/select/diagnosis/words.js';
import type { Kept, Losses, MethodName } from './keep.js';

export interface Diagnosis {
  readonly findings: readonly Finding[];
  /** What the method keeps, in words that the figures bear out. */
  readonly words: string;
}

/** @param losses of a pair · @param kept by the method, as the slider stands */
export function diagnoseText(method: MethodName, losses: Losses, kept: Kept): Diagnosis {
  if (method === 'reference-loss') {
    const words =
      'Kept are the tokens that the reference finds easiest, whatever the current model knows: minus the reference loss.';
    return { findings: [], words };
  }
  const column = (values: readonly (number | null)[]): Float32Array =>
    Float32Array.from(values, (loss) => loss ?? Number.NaN);
  const tally = createExcessTally();
  tally.add(column(losses.reference_loss), column(losses.current_loss), Float32Array.from(kept.flags));
  const excess = tally.figures();
  const findings = diagnose({ excess, groups: [], method: { byExcess: true, fillsShare: true } });
  const few = enoughTokens(excess) ? '' : ' They are too few to say whether the two models go together.';
  return { findings, words: `${keptByExcess(excess, findings)}${few}` };
}
