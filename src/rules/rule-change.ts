import type { RunFacts } from './facts.js';

export type Stage = 'reading' | 'tokenizing' | 'packing' | 'scoring' | 'writing';

/** What of a run is other than today's rules would have it. */
export interface Touch {
  /** A clause: what was done, and how it differs. */
  readonly what: string;
  /** What of the run's results it concerns. */
  readonly results: string;
}

export type Verdict = readonly Touch[] | { readonly unknown: string };

export interface RuleChange {
  readonly name: string;
  /** Day of the change, ISO 8601. */
  readonly date: string;
  readonly stage: Stage;
  /** The stage's version from this change on; null where parts tell by themselves what it touches, row by row. */
  readonly version: number | null;
  /** Pure. An empty list: the run is as today's rules would have it. */
  touches(run: RunFacts): Verdict;
}
