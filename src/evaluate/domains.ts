/** Loss by domain, in bounded memory. */
import { exactText } from '../json/exact-number.js';
import { type DocumentLoss, type LossSummary, type LossTally, lossTally } from './estimate.js';

/** Domains that are told apart; documents of further ones count together. Order of reading decides. */
const MOST_DOMAINS = 10_000;
/** Longest name of a domain, in characters. */
const MOST_CHARACTERS = 128;

export const NO_DOMAIN = '(none)';
export const OTHER_DOMAINS = '(others)';

/** The column that domains are taken from unless one is named. */
export const URL_COLUMN = 'url';

/**
 * The domain of a document: the host of its url, or, of a column named by the user, the value itself. `(none)` where
 * there is no such value.
 */
export function domainOf(columns: Readonly<Record<string, unknown>>, by: string | undefined): string {
  const value = columns[by ?? URL_COLUMN];
  if (value === null || value === undefined || value === '') return NO_DOMAIN;
  const text = exactText(value);
  if (by !== undefined) return text.slice(0, MOST_CHARACTERS);
  // A URL that is megabytes long is not one.
  const host = text.length <= 65_536 && URL.canParse(text) ? new URL(text).host : '';
  return host === '' ? NO_DOMAIN : host.slice(0, MOST_CHARACTERS);
}

export interface DomainTallies {
  add(domain: string, document: DocumentLoss): void;
  /** Of most targets first; equal ones by name. */
  summaries(): ReadonlyMap<string, LossSummary>;
}

export function domainTallies(most: number = MOST_DOMAINS): DomainTallies {
  const tallies = new Map<string, LossTally>();
  return {
    add(domain, document) {
      const name = tallies.has(domain) || tallies.size < most ? domain : OTHER_DOMAINS;
      let tally = tallies.get(name);
      if (tally === undefined) {
        tally = lossTally();
        tallies.set(name, tally);
      }
      tally.add(document);
    },
    summaries() {
      const found = [...tallies].map(([name, tally]) => [name, tally.summary()] as const);
      return new Map(found.sort(([a, x], [b, y]) => y.targets - x.targets || (a < b ? -1 : 1)));
    },
  };
}
