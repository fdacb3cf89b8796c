import type { Audit } from './report.js';

/**
 * Whether the scores tell tokens apart at all: two equal models give an excess of 0 everywhere, and a selection by it
 * would keep noise.
 * @param alike the selection doctor finds that the two models hardly differ
 * @param found eligible tokens with an excess of exactly 0, and whether all have one value; null without an excess
 */
export function calibrationOf(
  found: { readonly zero: number; readonly constant: boolean } | null,
  eligible: number,
  alike = false,
): Audit['calibration'] {
  if (found === null) {
    return {
      zero_excess_share: null,
      verdict: 'one-model',
      sentence: 'Scored under one model only: there is no excess loss to judge.',
    };
  }
  if (eligible === 0) {
    return {
      zero_excess_share: null,
      verdict: 'constant',
      sentence: 'No token is eligible: there is nothing to select by.',
    };
  }
  const share = found.zero / eligible;
  if (found.constant) {
    const value = found.zero === eligible ? '0' : 'one and the same value';
    return {
      zero_excess_share: share,
      verdict: 'constant',
      sentence: `The excess loss is ${value} everywhere: both models are the same, and there is nothing to select by.`,
    };
  }
  const zeros =
    share === 0 ? 'no eligible token has' : `${(100 * share).toPrecision(2)}% of the eligible tokens have`;
  const unusual = share > 0.5 ? ' That is unusual: make sure that the two models differ as they should.' : '';
  return {
    zero_excess_share: share,
    verdict: 'informative',
    sentence: `The two models ${alike ? 'hardly ' : ''}differ: ${zeros} an excess loss of exactly 0.${unusual}`,
  };
}
