import { brief, bytes, count, duration } from '../common/format.js';

type Fact = readonly [name: string, value: string];

const objectOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** [where in the plan, name, words] of what a reader wants to know first; what a plan lacks is left out. */
const FACTS: readonly (readonly [key: string, name: string, words: (value: number) => string])[] = [
  ['shards', 'Shards', count],
  ['parts', 'Parts', count],
  ['rows', 'Rows', count],
  ['textBytes', 'Text', bytes],
  ['tokens', 'Tokens, about', brief],
  ['seconds', 'Time, about', duration],
  ['outputBytes', 'Files, about', bytes],
];

/** The sums of `tokensieve plan --json`, as words. */
export function planFacts(plan: Readonly<Record<string, unknown>>): readonly Fact[] {
  const cost = { ...plan, ...objectOf(plan['cost']) } as Readonly<Record<string, unknown>>;
  return FACTS.flatMap(([key, name, words]): Fact[] => {
    const value = cost[key];
    return typeof value === 'number' && Number.isFinite(value) ? [[name, words(value)]] : [];
  });
}
