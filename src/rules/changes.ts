/**
 * Changes of the rules of rows and losses: each with its date, the stage whose version it raises, whom it touches, and the
 * sentence. Rules that have always been are version 1.
 *
 * A stage's version in a recipe is that of the newest change that touches the run, not of the newest there is: a run that no
 * change touches has the fingerprint it always had, so that none of its parts is made again (docs/decisions.md).
 */
import type { RunFacts } from './facts.js';
import { MODEL_CHANGES } from './model-changes.js';
import { READING_CHANGES } from './reading-changes.js';
import type { RuleChange, Stage, Touch } from './rule-change.js';
import { TOKENIZER_CHANGES } from './tokenizer-changes.js';

/** Versions of what each stage means where no change touches a run. Raised by hand, and not the package's version. */
export const FIRST_VERSIONS: Readonly<Record<Stage, number>> = {
  reading: 1,
  tokenizing: 1,
  packing: 1,
  scoring: 1,
  writing: 1,
};

export const RULE_CHANGES: readonly RuleChange[] = [
  ...READING_CHANGES,
  ...TOKENIZER_CHANGES,
  ...MODEL_CHANGES,
];

/** Date of the newest change: what notes of a run say that it was made by. */
export const RULES_DATE = RULE_CHANGES.map(({ date }) => date)
  .sort()
  .at(-1) as string;

export interface TouchedBy {
  readonly rule: string;
  readonly stage: Stage;
  readonly touches: readonly Touch[];
}

export interface Judgement {
  readonly touched: readonly TouchedBy[];
  readonly unknown: readonly { readonly rule: string; readonly stage: Stage; readonly why: string }[];
}

/** What of a run the changes since its rules touch, and of which changes that cannot be told. Pure. */
export function judge(run: RunFacts, changes: readonly RuleChange[] = RULE_CHANGES): Judgement {
  const touched: TouchedBy[] = [];
  const unknown: Judgement['unknown'][number][] = [];
  for (const { name, stage, version, touches } of changes) {
    const made = Number(run.semantics[stage] ?? 1);
    if (version !== null && made >= version) continue;
    const verdict = touches(run);
    if ('unknown' in verdict) unknown.push({ rule: name, stage, why: verdict.unknown });
    else if (verdict.length > 0) touched.push({ rule: name, stage, touches: verdict });
  }
  return { touched, unknown };
}

/** The versions that a new run of these facts is fingerprinted by. */
export function versionsOf({ touched }: Judgement): Readonly<Record<Stage, number>> {
  const versions = { ...FIRST_VERSIONS };
  for (const { rule, stage } of touched) {
    const { version = null } = RULE_CHANGES.find(({ name }) => name === rule) ?? {};
    versions[stage] = Math.max(versions[stage], version ?? 1);
  }
  return versions;
}
