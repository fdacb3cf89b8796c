import type { ExcessFigures } from './excess-figures.js';
import type { Finding } from './finding.js';
import type { GroupAxis } from './group-figures.js';
import { diagnoseGroups } from './group-rules.js';
import type { MethodTraits } from './method-traits.js';
import { nats, percent, share } from './numbers.js';

/** What a diagnosis is made of. */
export interface Evidence {
  /** null where there is no excess of tokens: one model, or means of whole rows. */
  readonly excess: ExcessFigures | null;
  /** Empty where there are no weights. */
  readonly groups: readonly GroupAxis[];
  readonly method: MethodTraits;
}

/** Of fewer tokens nothing is said: nine in ten would have to agree. */
export const LEAST_TOKENS = 100;
/** Central nine tenths of the excess, in nats: copies of one model in another precision stay below, other models above. */
const ALIKE = 0.2;
/**
 * Share of tokens on which the current model may be ahead. A good reference is far behind on text that it has never
 * seen, and that alone may be half of a noisy corpus: its mean is then far below 0, by a tail. Without one, less is borne.
 */
const MOST_BEHIND = 0.6;
const MOST_BEHIND_WITHOUT_TAIL = 0.55;
/** Standard deviations below 0 from which on the mean is that of a tail. */
const TAIL = 0.25;
/** Share of the weight that may lie on tokens with a negative excess. */
const MOST_NEGATIVE = 0.3;

/** What a share must differ by before it is told from chance. Tokens of one text go together: four errors of a coin. */
const margin = (tokens: number): number => 4 / Math.sqrt(tokens);

export const enoughTokens = (figures: ExcessFigures | null): boolean =>
  figures !== null && figures.tokens >= LEAST_TOKENS;

/**
 * What the figures say against a selection, gravest first; empty where they say nothing. Pure: the figures may come
 * from a data set, from the texts of a request or from a page. Thresholds and where they come from: docs/decisions.md.
 */
export function diagnose({ excess, groups, method }: Evidence): Finding[] {
  const found: Finding[] = [];
  if (excess !== null && method.byExcess && enoughTokens(excess)) {
    const alike = modelsAlike(excess);
    if (alike !== null) found.push(alike);
    // Of models that hardly differ, one is ahead by nothing; unless all tokens differ by the same.
    if (alike === null || Math.abs(excess.mean) > ALIKE) {
      const weaker = referenceWeaker(excess);
      if (weaker !== null) found.push(weaker);
      const negative = method.fillsShare ? keptNegative(excess, weaker !== null) : null;
      if (negative !== null) found.push(negative);
    }
  }
  if (excess?.kept?.uniform !== true) found.push(...diagnoseGroups(groups));
  return found;
}

function modelsAlike({ low, high, mean, tokens }: ExcessFigures): Finding | null {
  if (low === null || high === null || high - low >= ALIKE) return null;
  const offset = Math.abs(mean) > ALIKE ? ` around ${nats(mean)}` : '';
  return {
    code: 'models-alike',
    message: `the two models hardly differ: the excess loss of nine tokens in ten lies within ${nats(high - low)} nats${offset}, so which of them are kept is noise`,
    advice:
      'make sure that they are not one model twice, or one in two precisions; else train the reference further on text that is worth learning',
    figures: { tokens, spread: high - low, low, high, mean_excess: mean },
  };
}

function referenceWeaker({ tokens, negative, mean, deviation }: ExcessFigures): Finding | null {
  const behind = negative / tokens;
  const most = mean < -TAIL * deviation ? MOST_BEHIND : MOST_BEHIND_WITHOUT_TAIL;
  if (behind < Math.max(most, 0.5 + margin(tokens))) return null;
  return {
    code: 'reference-weaker',
    message: `the current model has the lower loss on ${percent(behind)} of the tokens (mean excess ${nats(mean)} nats): either the two models are swapped, or the reference is the weaker one on this text`,
    advice:
      'if they are swapped, score again with the two exchanged; else take a stronger reference, train it further, or select from text that is more like what it was trained on',
    figures: { tokens, negative_share: behind, mean_excess: mean },
  };
}

function keptNegative({ tokens, negative, kept }: ExcessFigures, pairInDoubt: boolean): Finding | null {
  if (kept === null || kept.uniform || kept.weight === 0) return null;
  const part = kept.negative / kept.weight;
  if (part < MOST_NEGATIVE + margin(tokens)) return null;
  const ahead = 1 - negative / tokens;
  const bound = kept.lowest === null ? '' : `, down to ${nats(kept.lowest)} nats`;
  const fewer = `${percent(ahead)} of the tokens have an excess of 0 or more: keep ${share(ahead)} or less, or everything from a score of 0 on (method threshold)`;
  return {
    code: 'kept-negative',
    message: `${percent(part)} of what is kept has a negative excess${bound}: there the current model is already ahead of the reference`,
    advice: pairInDoubt
      ? 'see to the pair first: a lower share keeps fewer of them, and mends nothing'
      : fewer,
    figures: {
      tokens,
      kept_negative_share: part,
      positive_share: ahead,
      ...(kept.lowest !== null && { lowest_kept: kept.lowest }),
    },
  };
}
