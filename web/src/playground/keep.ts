/**
 * Which tokens would be kept, from losses that are already there: the same rule as `tokensieve select`, by the same
 * code (src/select), so that moving the slider scores nothing anew.
 */
import { markKept, rankInMemory, runCuts } from '#tokensieve/select/ranking.js';
import { keptOf } from '#tokensieve/select/share.js';

export interface Losses {
  /** Nats, null where the token has no loss. Arrays are [tokens]. */
  readonly reference_loss: readonly (number | null)[];
  readonly current_loss: readonly (number | null)[];
}

/** Methods whose score is a function of the two losses and whose number kept is a share. */
export const METHODS = [
  {
    name: 'slm',
    title: 'Excess loss (Rho-1)',
  },
  {
    name: 'reference-loss',
    title: 'Reference loss alone',
  },
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
  const reference = Float32Array.from(losses.reference_loss, (loss) => loss ?? Number.NaN);
  const current = Float32Array.from(losses.current_loss, (loss) => loss ?? Number.NaN);
  const scores = new Float32Array(reference.length);
  const eligible = new Uint8Array(reference.length);
  let eligibleCount = 0;
  for (let i = 0; i < scores.length; i++) {
    const ours = reference[i] ?? Number.NaN;
    // Both fp32: their fp64 difference, rounded once by the array, is the fp32 difference.
    scores[i] = method === 'slm' ? (current[i] ?? Number.NaN) - ours : -ours;
    if (!Number.isNaN(scores[i])) {
      eligible[i] = 1;
      eligibleCount++;
    }
  }
  return { scores, eligible, eligibleCount };
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
  let count = 0;
  for (const flag of flags) count += flag;
  return { flags, count, cutoff: cuts.to.score };
}
