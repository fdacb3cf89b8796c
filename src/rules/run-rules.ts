/** The one question that readers of a run ask: which of its results do changes of the rules since touch? */

import { openDataSet } from '../dataset/data-set.js';
import type { FinishedPart } from '../dataset/finished-parts.js';
import { type RowsRecipe, readRecipe } from '../dataset/recipe.js';
import { type RunNotes, readRunNotes } from '../dataset/run-notes.js';
import { TokensieveError } from '../errors.js';
import { absolutePath, folderOf, schemeOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { type Judgement, judge, RULES_DATE } from './changes.js';
import type { RunFacts } from './facts.js';
import { notedRules } from './noted.js';
import { isMarked, MARKED_SINCE, readReadingFacts } from './read-reading.js';

/** Snake case: printed as JSON as it is. */
export interface RulesReport {
  /** Where notes of the run say nothing, as beside parts that were moved, the rest is judged as if it were by older ones. */
  readonly made_by: 'todays-rules' | 'older-rules' | 'not-known';
  readonly touched: readonly {
    readonly rule: string;
    readonly stage: string;
    readonly what: string;
    readonly results: string;
  }[];
  /** Changes of which it cannot be told whether they touch the run. */
  readonly unknown: readonly { readonly rule: string; readonly stage: string; readonly why: string }[];
}

const BY_TODAYS: RulesReport = { made_by: 'todays-rules', touched: [], unknown: [] };

/** Where a run's inputs are, for runs whose notes do not say. */
export interface RunPlaces {
  readonly tokenizer: string | null;
  readonly models: readonly { readonly role: string; readonly folder: string }[];
}

const NOWHERE: RunPlaces = { tokenizer: null, models: [] };

/**
 * @param folder a run's output folder, or a folder of scored, weighted or packed parts
 * @returns null where there are no parts, or none whose manifests tell how they were made
 */
export async function rulesOfFolder(
  storage: Storage,
  folder: string,
  places: RunPlaces = NOWHERE,
): Promise<RulesReport | null> {
  try {
    const { parts } = await openDataSet(storage, folder, {
      prefer: ['scored', 'packed', 'weighted'],
      nothing: { code: 'nothing-made', advice: 'name the folder of a run' },
    });
    return await rulesOfParts(storage, parts, places);
  } catch (error) {
    if (error instanceof TokensieveError) return null;
    throw error;
  }
}

/** The same of parts whose manifests are read already: all of one folder. */
export async function rulesOfParts(
  storage: Storage,
  parts: readonly FinishedPart[],
  places: RunPlaces = NOWHERE,
): Promise<RulesReport | null> {
  const [first] = parts;
  if (first === undefined) return null;
  const recipe = readRecipe(first.manifest.recipe);
  // Parts that other programs wrote are by their rules.
  if ('problem' in recipe || recipe.rows.semantics === undefined) return null;
  const above = folderOf(absolutePath(first.folder));
  const notes = (await readRunNotes(storage, above)) ?? (await readRunNotes(storage, first.folder));
  const marked = parts.every(({ manifest }) => isMarked(manifest)) ? MARKED_SINCE : '';
  if ([marked, await rulesNotedBy(storage, first, notes)].some((date) => date >= RULES_DATE)) {
    return BY_TODAYS;
  }
  const judgement = judge(await factsOfParts(storage, parts, recipe.rows, notes, places));
  return reportOf(judgement, notes === null && judgement.touched.length === 0 ? 'not-known' : 'older-rules');
}

function reportOf({ touched, unknown }: Judgement, made_by: RulesReport['made_by']): RulesReport {
  return {
    made_by,
    touched: touched.flatMap(({ rule, stage, touches }) =>
      touches.map((touch) => ({ rule, stage, ...touch })),
    ),
    unknown,
  };
}

/** Date of the rules by the notes beside the parts; empty where these say nothing. */
async function rulesNotedBy(storage: Storage, { manifest, folder }: FinishedPart, notes: RunNotes | null) {
  if (manifest.kind === 'packed') {
    return (await notedRules(storage, folderOf(absolutePath(folder)), 'packed')) ?? '';
  }
  return notes?.rules ?? (await notedRules(storage, folderOf(absolutePath(folder)), 'scored')) ?? '';
}

async function factsOfParts(
  storage: Storage,
  parts: readonly FinishedPart[],
  { semantics = {}, tokenizer, sequence, corpus, models: hashes, import: imported }: RowsRecipe,
  notes: RunNotes | null,
  places: RunPlaces,
): Promise<RunFacts> {
  // Readers of models and tokenizers are loaded for runs that a change may touch: most are not.
  const [{ readModelFacts }, { readTokenizerFacts }] = await Promise.all([
    import('./read-model.js'),
    import('./read-tokenizer.js'),
  ]);
  const { length = 0 } = sequence;
  const { keep = [] } = corpus;
  // Imported losses are not ours to judge.
  const roles = (['reference', 'current'] as const).filter(
    (role) => (hashes[role] ?? null) !== null && imported?.as !== role,
  );
  const models: RunFacts['models'][number][] = [];
  for (const role of roles) {
    const known = [...(notes?.models ?? []), ...places.models].find((model) => model.role === role);
    const folder = local(known?.folder);
    models.push({ role, facts: await readModelFacts(role, folder) });
  }
  return {
    semantics,
    inserted: { bosId: tokenizer.bos_id ?? null, eosId: tokenizer.eos_id ?? null },
    sequence: { length, bos: sequence.bos !== false, eos: sequence.eos !== false },
    longestRow: Math.min(
      length,
      parts.reduce((most, { manifest }) => Math.max(most, manifest.counts.tokens), 0),
    ),
    tokenizerHash: tokenizer.hash ?? null,
    keep,
    tokenizer: await readTokenizerFacts(local(notes?.tokenizer) ?? places.tokenizer, {
      controlTokens: tokenizer.control_tokens ?? 'text',
      // Older recipes say true where nothing was set.
      bos: sequence.bos === false ? false : undefined,
      eos: sequence.eos === false ? false : undefined,
    }),
    models,
    reading: await readReadingFacts(storage, parts, { keep, patterns: notes?.shards ?? null }),
  };
}

/** A folder's word opens files on local disk at most. */
const local = (path: string | null | undefined): string | null =>
  path != null && schemeOf(path) === null ? path : null;

const MADE_BY: Readonly<Record<RulesReport['made_by'], string>> = {
  'todays-rules': "made by today's rules",
  'older-rules': 'made by older rules',
  'not-known': 'nothing says by which rules it was made',
};

/** A line for each change that touches the run, and one for those that cannot be told; none where no change touches it. */
function rulesLines({ made_by, touched, unknown }: RulesReport): string[] {
  const reasons = [...new Set(unknown.map(({ why }) => why))];
  return [
    ...touched.map(({ what, results }) => `made by older rules: ${what} (touches ${results})`),
    ...(unknown.length === 0
      ? []
      : [
          `${MADE_BY[made_by]}: whether these changes touch it cannot be told, since ${reasons.join(', and ')}: ${unknown.map(({ rule }) => rule).join(', ')}`,
        ]),
  ];
}

/** The lines, or one that says that no change touches a run by older rules; none for a run by today's. */
export function rulesText(report: RulesReport): string[] {
  const lines = rulesLines(report);
  if (report.made_by === 'todays-rules' || lines.length > 0) return lines;
  return [`${MADE_BY[report.made_by]}; no change of them since touches any of its results`];
}

/** The same in one line, for commands that go on: null where there is nothing to say. */
export function rulesWarning(run: string, report: RulesReport | null): string | null {
  if (report === null || (report.touched.length === 0 && report.unknown.length === 0)) return null;
  const [first] = rulesLines(report);
  const more = rulesLines(report).length - 1;
  return `${run}: ${first}${more > 0 ? `; ${more} more: tokensieve verify ${run}` : ''}`;
}
