import { usageError } from '../errors.js';

/** Shares are whole parts per million, so that a count is an integer product and every machine gets the same one. */
export const PPM = 1_000_000;

export type Rounding = 'floor' | 'ceil';

/**
 * A fraction 0..1 as whole parts per million, exactly.
 * @throws usage `share-too-fine` when the fraction has more than six decimals.
 */
export function ppmOf(fraction: number, field: string): number {
  const ppm = Math.round(fraction * PPM);
  // 1e-9 of a millionth is above fp64's error here, at most 2.3e-10 of one, and far below a tenth decimal.
  if (!(ppm >= 0 && ppm <= PPM) || Math.abs(fraction * PPM - ppm) > 1e-9) {
    throw usageError(
      'share-too-fine',
      `${field} is ${fraction}; expected a fraction from 0 to 1 with at most six decimals (whole parts per million)`,
    );
  }
  return ppm;
}

/**
 * ⌊ppm·count/10⁶⌋ or ⌈ppm·count/10⁶⌉, exact for any count up to 2⁵³. The count is split so that no product
 * passes 2⁵³ (0.6 · 14.7 billion tokens in millionths would).
 */
export function shareOf(ppm: number, count: number, rounding: Rounding): number {
  const millions = Math.floor(count / PPM);
  const rest = (count - millions * PPM) * ppm;
  return millions * ppm + (rounding === 'ceil' ? Math.ceil(rest / PPM) : Math.floor(rest / PPM));
}

/** Tokens to keep of `eligible`: the share, but at least one where there is one at all. */
export function keptOf(ppm: number, eligible: number, rounding: Rounding): number {
  return eligible === 0 ? 0 : Math.max(1, shareOf(ppm, eligible, rounding));
}
