/**
 * Which tokens would be kept, from losses that are already there: the same rule as `tokensieve select`, by the same
 * code (src/select), so that moving the slider scores nothing anew.
 */
import { countOnes, markKept, rankInMemory, runCuts } from '#tokensieve/select/ranking.js';
import { scoreBy } from '#tokensieve/select/scores.js';
import { keptOf } from '#tokensieve/select/share.js';

export interface Losses {
  /** Nats, null where the token has no loss. Arrays are [tokens]. */
  readonly reference_loss: readonly (number | null)[];
  readonly current_loss: readonly (number | null)[];
}

/** Methods that keep a share of the tokens by one score of the two losses, which goes by `score` in `tokensieve select`. */
export const METHODS = [
  { name: 'slm', score: 'excess', title: 'Excess loss (Rho-1)' },
  { name: 'reference-loss', score: 'reference-loss', title: 'Reference loss alone' },
] as const;
export type MethodName = (typeof METHODS)[number]['name'];

export interface Ranked {
  /** fp32 scores, higher is kept first; NaN where the token is not eligible. [tokens] */
  readonly scores: Float32Array;
  /** 1 for tokens that may be kept: those with the losses that the method reads. [tokens] */
  readonly eligible: Uint8Array;
  readonly eligibleCount: number;
}

/** Scores of every token. Done once for a text; `keepShare` then is cheap at every position of the slider. */
export function rankTokens(method: MethodName, losses: Losses): Ranked {
  const column = (values: readonly (number | null)[]): Float32Array =>
    Float32Array.from(values, (loss) => loss ?? Number.NaN);
  const columns = {
    reference_loss: column(losses.reference_loss),
    current_loss: column(losses.current_loss),
  };
  const scores = new Float32Array(losses.reference_loss.length);
  const { score } = METHODS.find(({ name }) => name === method) ?? METHODS[0];
  scoreBy[score].kernel({ columns }, scores);
  const eligible = Uint8Array.from(scores, (value) => (Number.isNaN(value) ? 0 : 1));
  return { scores, eligible, eligibleCount: countOnes(eligible) };
}

export interface Kept {
  /** 1 for kept tokens. [tokens] */
  readonly flags: Uint8Array;
  readonly count: number;
  /** The lowest score kept; +Infinity where nothing is. */
  readonly cutoff: number;
}

/**
 * Keeps max(1, ⌊ppm·eligible/10⁶⌋) tokens with the highest scores; ties go to the earlier token.
 * @param ppm the share to keep in whole parts per million
 */
export function keepShare({ scores, eligible }: Ranked, ppm: number): Kept {
  const chunk = { scores, eligible };
  const cuts = rankInMemory([chunk], (count) => [0, keptOf(ppm, count, 'floor')], {
    keys: new Uint32Array(0),
  });
  const flags = new Uint8Array(scores.length);
  markKept(chunk, runCuts(cuts), flags);
  return { flags, count: countOnes(flags), cutoff: cuts.to.score };
}
