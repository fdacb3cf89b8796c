/** What the reading view shows of a token: figures in words, and classes for the style sheet. Pure. */
import type { PageDocument } from './page-data.js';

/** Tokens that cannot be told apart in the text, mostly one: what one span shows. */
export interface Unit {
  readonly start: number;
  readonly end: number;
  /** Tokens [first, last]. */
  readonly first: number;
  last: number;
}

export function unitsOf({ lengths, gaps }: PageDocument): Unit[] {
  const before = new Map<number, number>();
  for (let i = 0; i + 1 < gaps.length; i += 2) before.set(gaps[i] ?? 0, gaps[i + 1] ?? 0);
  const made: Unit[] = [];
  let end = 0;
  lengths.forEach((length, token) => {
    const start = end + (before.get(token) ?? 0);
    const last = made.at(-1);
    const stop = Math.max(end, start + length);
    // A piece of a character that a token before has a piece of, too.
    if (last !== undefined && start < last.end && length > 0) {
      made[made.length - 1] = { ...last, end: stop, last: token };
    } else {
      made.push({ start, end: start + length, first: token, last: token });
    }
    end = start + length;
  });
  return made;
}

export type Figures = { readonly [K in 'reference' | 'current' | 'excess' | 'weight']: number | null };

/** What a token came to; null where that is not known, or the token is no target. */
export function figures({ reference, current, weights }: PageDocument, token: number): Figures {
  const loss = (column: PageDocument['reference']) => {
    const value = column?.[token] ?? null;
    return value === null ? null : value / 100;
  };
  const [first, second] = [loss(reference), loss(current)];
  const isTarget = first !== null || second !== null;
  const weight = typeof weights === 'string' ? Number(weights[token]) : (weights?.[token] ?? 0) / 100;
  return {
    reference: first,
    current: second,
    excess: first === null || second === null ? null : second - first,
    weight: weights === null || !isTarget ? null : weight,
  };
}

/** Classes of a span in all modes at once: which of them show is for the style sheet. */
export function classesOf(doc: PageDocument, { first, last }: Unit, maxWeight: number): string[] {
  const all = Array.from({ length: last - first + 1 }, (_, i) => figures(doc, first + i));
  const mean = (name: keyof Figures): number | null => {
    const values = all.flatMap((one) => one[name] ?? []);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const classes: string[] = [];
  const [weight, excess, loss] = [mean('weight'), mean('excess'), mean('current') ?? mean('reference')];
  if (loss === null) classes.push('none');
  if (weight !== null) {
    classes.push(weight > 0 ? 'kept' : 'dropped');
    classes.push(`w${weight > 0 ? Math.max(1, Math.ceil((4 * 100 * weight) / maxWeight)) : 0}`);
  }
  if (excess !== null) {
    const size = [0.3, 1, 3].filter((limit) => Math.abs(excess) >= limit).length;
    if (size > 0) classes.push(`${excess > 0 ? 'up' : 'down'}${size}`);
  }
  if (loss !== null) classes.push(`l${[0.1, 1, 3, 6].filter((limit) => loss >= limit).length}`);
  return classes;
}

/** What a reader sees of a token that may be nothing but white space or a control character. */
export const visible = (own: string): string =>
  own
    .replace(/ /g, '␣')
    .replace(/\r?\n/g, '↵')
    .replace(/\t/g, '⇥')
    .replace(/[\p{C}\p{Z}]/gu, (character) => {
      const point = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
      return `⟨U+${point.padStart(4, '0')}⟩`;
    });

const nats = (value: number, sign = false): string =>
  `${sign && value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value).toFixed(2)} nats`;
/** The probability that a loss stands for. */
const chance = (loss: number): string => {
  const percent = 100 * Math.exp(-loss);
  return percent < 0.01 ? 'under 0.01%' : `${Number(percent.toPrecision(2))}%`;
};

/** Name and value of what a token came to, line by line; a line without a name speaks for itself. */
export function describe(doc: PageDocument, token: number): [string, string][] {
  const { reference, current, excess, weight } = figures(doc, token);
  if (reference === null && current === null) return [['', 'not a target: it has no loss']];
  const rows: [string, string][] = [];
  if (weight !== null) rows.push(['', weight > 0 ? `kept, weight ${weight}` : 'dropped, weight 0']);
  if (reference !== null) rows.push(['reference loss', `${nats(reference)} (gave it ${chance(reference)})`]);
  if (current !== null) rows.push(['current loss', `${nats(current)} (gave it ${chance(current)})`]);
  if (excess !== null) rows.push(['excess', nats(excess, true)]);
  return rows;
}
