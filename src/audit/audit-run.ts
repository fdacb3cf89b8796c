import { meansColumns } from '../dataset/recipe.js';
import { hashJson, isJsonObject, type JsonObject } from '../json/canonical-json.js';
import type { EventSink } from '../parts/events.js';
import { tellOf } from '../parts/tell-of.js';
import { diagnose, type Evidence } from '../select/diagnosis/diagnose.js';
import type { Finding } from '../select/diagnosis/finding.js';
import { methodTraits, NO_METHOD } from '../select/diagnosis/method-traits.js';
import { findingLine } from '../select/diagnosis/words.js';
import { absolutePath, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { findRunInputs, type RunInputs } from '../texts/run-inputs.js';
import type { TokenTexts } from '../texts/token-texts.js';
import { type AuditedRun, openAuditedRun } from './audited-run.js';
import { MINIMUM_DOCUMENT_TOKENS, type RankedDocument } from './by-document.js';
import { byTokenClass } from './by-token.js';
import { calibrationOf } from './calibration.js';
import { keptInWords } from './kept-in-words.js';
import { modelsOf, scoringFlops } from './models.js';
import { byPlace, createPlaceReader, type PlaceReader } from './places-text.js';
import { rankTokens } from './ranked-tokens.js';
import { RUN_LENGTH } from './repeated/find-repeated.js';
import { joinRuns } from './repeated/passages.js';
import { AUDIT_VERSION, type Audit, type DocumentRow, type KeptBy, type TokenRow } from './report.js';
import { type Scan, scanRun } from './scan.js';
import type { AuditSettings } from './settings.js';

export interface AuditOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/** An audit, and what it was made from, for the reading view. */
export interface AuditedNumbers {
  readonly audit: Audit;
  readonly run: AuditedRun;
  readonly inputs: RunInputs;
}

/** Repeated passages that are listed, and ids shown of each. */
const PASSAGES = 25;
const PASSAGE_IDS = 200;

/**
 * The numbers of an audit, from one pass over the run's files and a second look at some hundred places. What
 * `dynamics`, `overlap` and `comparison` hold is added by `auditTo`.
 * @throws TokensieveError (usage) `nothing-scored`, `other-run`, `no-such-column`, `tokenizers-differ`; (input) of
 *   damaged files
 */
export async function auditRun(settings: AuditSettings, options: AuditOptions): Promise<AuditedNumbers> {
  const { storage } = options;
  const run = await openAuditedRun(storage, settings.run, settings.weighted ?? null);
  await tellOf(storage, run, options.sink);
  const inputs = await findRunInputs(
    storage,
    settings.run,
    run.recipe.rows,
    settings.tokenizer,
    settings.remembered,
  );
  const scan = await scanRun(run, { ...options, seed: settings.seed, by: settings.by ?? null });
  const texts = inputs.tokenizer?.texts ?? null;
  const places = createPlaceReader(storage, run.parts, texts);
  const models = modelsOf(run.recipe.rows, inputs.notes);
  const conventions = isJsonObject(scan.conventions) ? scan.conventions : null;
  // Means of rows or documents say nothing of a token's excess.
  const excess = meansColumns(run.recipe.rows).size > 0 ? null : scan.evidence.excess;
  const findings = findingsOf(run, conventions, { ...scan.evidence, excess });
  for (const finding of findings) {
    options.sink({ event: 'warning', message: findingLine(finding), finding });
  }
  const audit: Audit = {
    version: AUDIT_VERSION,
    title: settings.title ?? `Audit of ${nameOf(absolutePath(settings.run))}`,
    run: {
      path: settings.run,
      kind: run.kind,
      shards: new Set(run.parts.map(({ manifest }) => manifest.shard)).size,
      parts: run.parts.length,
      recipe_hash: hashJson(run.recipe.json),
      recipe: { ...run.recipe.json },
      conventions: conventions && { ...conventions },
    },
    totals: totalsOf(run, scan),
    models,
    tokenizer: { hash: inputs.tokenizerHash, vocabulary: texts?.size ?? null },
    cost: {
      scoring_flops: scoringFlops(models, inputs.notes, scan.tokens),
      file_bytes: scan.fileBytes,
    },
    calibration: calibrationOf(
      scan.distributions.calibration(),
      scan.eligible,
      findings.some(({ code }) => code === 'models-alike'),
    ),
    findings,
    kept_in_words: run.kind === 'weighted' ? keptInWords(conventions?.['method'], excess, findings) : null,
    columns: scan.distributions.columns(),
    distributions: scan.distributions.distributions(),
    kept_by: keptBy(scan, texts),
    tokens: await tokenLists(scan, texts, places),
    documents: {
      minimum_tokens: MINIMUM_DOCUMENT_TOKENS,
      highest: await documentRows(scan.byDocument.highest(), run, places),
      lowest: await documentRows(scan.byDocument.lowest(), run, places),
    },
    repeated: repeatedPassages(scan, texts),
    dynamics: null,
    overlap: null,
    comparison: null,
    sample: { seed: settings.seed, documents: 0, tokens: 0, rule: 'no documents were read' },
  };
  return { audit, run, inputs };
}

/** Of a run without weights, as if its tokens were to be selected by their excess. */
const findingsOf = (
  { kind }: AuditedRun,
  conventions: JsonObject | null,
  evidence: Omit<Evidence, 'method'>,
): Finding[] =>
  diagnose({ ...evidence, method: kind === 'weighted' ? methodTraits(conventions ?? {}) : NO_METHOD });

function totalsOf(run: AuditedRun, scan: Scan): Audit['totals'] {
  const sum = (value: (counts: (typeof run.parts)[number]['manifest']['counts']) => number): number =>
    run.parts.reduce((total, { manifest }) => total + value(manifest.counts), 0);
  const quarantined: Record<string, number> = {};
  for (const { manifest } of run.parts) {
    for (const [reason, rows] of Object.entries(manifest.counts.quarantined)) {
      quarantined[reason] = (quarantined[reason] ?? 0) + rows;
    }
  }
  return {
    documents: sum(({ documents }) => documents),
    text_bytes: sum(({ text_bytes }) => text_bytes),
    sequences: scan.sequences,
    tokens: scan.tokens,
    eligible: scan.eligible,
    kept: scan.measured.kept ? scan.kept : null,
    weight_sum: scan.measured.kept ? scan.weightSum : null,
    quarantined_rows: sum(({ quarantined_rows }) => quarantined_rows),
    quarantined,
  };
}

function keptBy({ distributions, positions, byDocument, byToken, measured }: Scan, texts: TokenTexts | null) {
  const groups: KeptBy[] = [
    ...distributions.tenths(measured),
    positions.report('position', 'tokens before it in its row', measured),
    ...byDocument.groups(measured),
    ...(texts === null ? [] : [byTokenClass(byToken, texts, measured)]),
  ];
  return groups;
}

async function tokenLists(
  { byToken, measured, kept, eligible }: Scan,
  texts: TokenTexts | null,
  places: PlaceReader,
): Promise<Audit['tokens']> {
  const by = measured.kept ? 'kept' : measured.reference && measured.current ? 'excess' : null;
  const { mostKept, mostDropped } = rankTokens(byToken, by);
  const listed = [...new Set([...mostKept, ...mostDropped])];
  const rows = new Map<number, TokenRow>();
  for (const id of listed) {
    rows.set(id, {
      id,
      text: texts?.text(id) ?? null,
      class: texts?.classOf(id) ?? null,
      ...byToken.sums.figures(id, measured),
      examples: [],
    });
  }
  const wanted = listed
    .flatMap((id) => byToken.places(id).map((place, nth) => ({ id, nth, place })))
    .sort((a, b) => byPlace(a.place, b.place));
  const examples = new Map<number, TokenRow['examples']>();
  for (const { id, nth, place } of wanted) {
    const found = examples.get(id) ?? [];
    found[nth] = await places.example(place);
    examples.set(id, found);
  }
  const row = (id: number): TokenRow[] => {
    const found = rows.get(id);
    return found === undefined ? [] : [{ ...found, examples: examples.get(id) ?? [] }];
  };
  return {
    kept_share_overall: measured.kept && eligible > 0 ? kept / eligible : null,
    most_kept: mostKept.flatMap(row),
    most_dropped: mostDropped.flatMap(row),
  };
}

async function documentRows(
  ranked: readonly RankedDocument[],
  run: AuditedRun,
  places: PlaceReader,
): Promise<DocumentRow[]> {
  const excerpts = new Map<RankedDocument, string | null>();
  for (const document of [...ranked].sort((a, b) => byPlace(a.place, b.place))) {
    excerpts.set(document, await places.excerpt(document.place));
  }
  return ranked.map((document) => {
    const { part, row, columns, figures } = document;
    const { manifest } = run.parts[part] ?? {};
    return {
      shard: manifest?.shard ?? '',
      part: manifest?.part ?? 0,
      row,
      columns: { ...columns },
      ...figures,
      excess: figures.excess ?? 0,
      excerpt: excerpts.get(document) ?? null,
    };
  });
}

function repeatedPassages({ repeated, measured }: Scan, texts: TokenTexts | null): Audit['repeated'] {
  const withExcess = measured.reference && measured.current;
  const passages = joinRuns(repeated.runs())
    .sort((a, b) => b.tokens - b.kept - (a.tokens - a.kept) || b.occurrences - a.occurrences)
    .slice(0, PASSAGES)
    .map(({ ids, occurrences, documents, tokens, kept, excess }) => ({
      text: texts?.join(ids.slice(0, PASSAGE_IDS)) ?? null,
      ids: ids.slice(0, PASSAGE_IDS),
      occurrences,
      documents,
      tokens,
      kept_share: measured.kept ? kept / tokens : null,
      excess: withExcess ? excess / tokens : null,
    }));
  const order = measured.kept ? 'dropped tokens' : 'tokens';
  return {
    length: RUN_LENGTH,
    passages,
    note: `Runs of ${RUN_LENGTH} equal ids of one row and document, joined where they overlap; most ${order} first. A passage is found when it comes again within about a million runs${repeated.full() ? '; the rarest were let go, as there were more than fit' : ''}.`,
  };
}
