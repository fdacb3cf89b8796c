import type { Finding } from './finding.js';
import type { GroupAxis, GroupFigures } from './group-figures.js';
import { percent } from './numbers.js';

/** One domain has nearly all that is kept, and the others a third at most of the place that they have in the text. */
const NEARLY_ALL = 0.9;
const LEFT_TO_OTHERS = 1 / 3;
/** Others that are fewer than this in the text are not missed. */
const LEAST_OTHERS = 0.05;
/** A group of documents counts as dropped when it keeps this much of its place in the text at most. */
const DROPPED = 0.1;
/** Groups that are smaller are not told of: share of the tokens or of the documents, documents, tokens it should keep. */
const LEAST_SHARE = 0.01;
const LEAST_DOCUMENTS = 3;
const LEAST_KEPT = 30;
/** Names in a message. */
const NAMED = 3;

interface Sums {
  readonly documents: number;
  readonly tokens: number;
  readonly kept: number;
}

/** What is wrong with what is kept of which documents; the same documents under another name are told of once. */
export function diagnoseGroups(axes: readonly GroupAxis[]): Finding[] {
  const found: Finding[] = [];
  const told = new Set<string>();
  for (const rule of [oneDomain, classDropped]) {
    for (const axis of axes) {
      if (axis.groups.length < 2) continue;
      const finding = rule(axis, sumOf(axis.groups));
      if (finding === null) continue;
      const key = JSON.stringify([finding.code, finding.figures['documents'], finding.figures['tokens']]);
      if (!told.has(key)) found.push(finding);
      told.add(key);
    }
  }
  return found;
}

const sumOf = (groups: readonly GroupFigures[]): Sums =>
  groups.reduce<Sums>(
    (sum, { documents, tokens, kept }) => ({
      documents: sum.documents + documents,
      tokens: sum.tokens + tokens,
      kept: sum.kept + kept,
    }),
    { documents: 0, tokens: 0, kept: 0 },
  );

function oneDomain({ by, domains, groups }: GroupAxis, all: Sums): Finding | null {
  if (!domains || all.kept === 0) return null;
  const first = groups.reduce((most, group) => (group.kept > most.kept ? group : most));
  const kept = first.kept / all.kept;
  const text = first.tokens / all.tokens;
  if (kept < NEARLY_ALL || 1 - text < LEAST_OTHERS || 1 - kept > LEFT_TO_OTHERS * (1 - text)) return null;
  if (all.documents - first.documents < LEAST_DOCUMENTS || (1 - text) * all.kept < LEAST_KEPT) return null;
  return {
    code: 'one-domain',
    message: `${by} ${quoted(first.name)} supplies ${percent(kept)} of what is kept, and is ${percent(text)} of the tokens`,
    advice:
      'this selects a domain more than tokens: if the others are wanted, rank each by itself (a shard each, scope shard), or put text like theirs into what the reference is trained on',
    figures: {
      by,
      name: first.name,
      kept_share: kept,
      token_share: text,
      documents: first.documents,
      tokens: first.tokens,
    },
  };
}

function classDropped({ by, groups }: GroupAxis, all: Sums): Finding | null {
  const rate = all.kept / all.tokens;
  const dropped = groups
    .filter(
      ({ documents, tokens, kept }) =>
        kept <= DROPPED * rate * tokens &&
        documents >= LEAST_DOCUMENTS &&
        rate * tokens >= LEAST_KEPT &&
        (tokens >= LEAST_SHARE * all.tokens || documents >= LEAST_SHARE * all.documents),
    )
    .sort((a, b) => b.tokens - a.tokens || (a.name < b.name ? -1 : 1));
  if (dropped.length === 0) return null;
  const sums = sumOf(dropped);
  const names = dropped.slice(0, NAMED).map(({ name }) => name);
  const more = dropped.length > NAMED ? ` and ${dropped.length - NAMED} more` : '';
  const which =
    by === 'document_tokens'
      ? `whose length in tokens is ${names.join(', ')}${more}`
      : `of ${by} ${names.map(quoted).join(', ')}${more}`;
  return {
    code: 'class-dropped',
    message: `all ${sums.documents} documents ${which} (${percent(sums.tokens / all.tokens)} of the tokens) are dropped ${sums.kept === 0 ? '' : 'nearly '}whole: ${percent(sums.kept / sums.tokens)} of them is kept, of all tokens ${percent(rate)}`,
    advice:
      'read some of them: noise is dropped as it should be; text that is wanted must be like something that the reference was trained on, or be selected apart',
    figures: {
      by,
      names,
      groups: dropped.length,
      documents: sums.documents,
      tokens: sums.tokens,
      token_share: sums.tokens / all.tokens,
      kept_share: sums.kept / sums.tokens,
    },
  };
}

/** A name from the data, in a message. */
const quoted = (name: string): string => JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
