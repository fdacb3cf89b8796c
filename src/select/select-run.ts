import { type DataSet, openDataSet } from '../dataset/data-set.js';
import { type FinishedPart, knownInput } from '../dataset/finished-parts.js';
import { MANIFEST_VERSION, type Manifest, stageManifest } from '../dataset/manifest.js';
import { partFiles } from '../dataset/part-files.js';
import { openPart, type PartSource, partSource } from '../dataset/part-source.js';
import { compressionOf, meansColumns } from '../dataset/recipe.js';
import { readRunNotes, writeRunNotes } from '../dataset/run-notes.js';
import { createSequenceWriter } from '../dataset/writer.js';
import { usageError } from '../errors.js';
import { hashJson, type JsonObject } from '../json/canonical-json.js';
import { derivedParts } from '../parts/derived-parts.js';
import { type ExpectedPart, finishedManifest, removeStale } from '../parts/done-parts.js';
import type { EventSink } from '../parts/events.js';
import { type Totals, totalsOf } from '../parts/totals.js';
import { unfinishedRun } from '../parts/unfinished.js';
import { FIRST_VERSIONS } from '../rules/changes.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import { absolutePath, folderOf, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { Finding } from './diagnosis/finding.js';
import { holdParts } from './held-parts.js';
import { type LoadedMethod, loadMethod } from './load.js';
import type { Prepared } from './preparation.js';
import { createSelection, type Selection } from './selection.js';
import { type SelectionDoctor, selectionDoctor } from './selection-doctor.js';
import type { SelectionSettings } from './settings.js';
import { addStatistics, type SelectionStatistics } from './statistics.js';

/** Rows that may stay in memory between passes: eight to ten million tokens. */
const HELD_BYTES = 2 ** 27;
/** Counts that may: of some hundred parts. */
const KEPT_BYTES = 2 ** 26;

export interface SelectOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  readonly replace: boolean;
}

export interface SelectReport extends Totals {
  /** Folder of the weighted files. */
  readonly folder: string;
  readonly resumed: number;
  /** Weighted parts found damaged, which this call made again. */
  readonly damaged: number;
  readonly weightSum: number;
  /** Of the parts weighed by this call; null when all were done before. */
  readonly statistics: SelectionStatistics | null;
  /** What speaks against this selection; told to the sink as warnings too. */
  readonly findings: readonly Finding[];
  readonly conventions: Selection['conventions'];
  readonly seconds: number;
}

/**
 * Turns the scored parts of a run into weighted files, part by part, resumable like scoring. Losses are read,
 * never made again.
 * @param run output folder of a scoring run · @param folder where weighted files go
 * @throws TokensieveError `constant-scores` when there is nothing to select by; usage errors of the settings;
 *   `stale-parts` as in scoring; `out-is-input`
 */
export async function selectRun(
  run: string,
  folder: string,
  settings: SelectionSettings,
  given: SelectOptions,
): Promise<SelectReport> {
  const started = Date.now();
  const { storage, sink } = given;
  const loaded = await loadMethod(settings.method);
  const selection = createSelection(settings, loaded.method);
  const scored = await openDataSet(storage, run, {
    prefer: ['scored'],
    nothing: { code: 'nothing-scored', advice: 'name the --out folder of tokensieve score' },
  });
  const { parts } = scored;
  const unfinished = await unfinishedRun(storage, scored);
  if (unfinished !== null) sink({ event: 'warning', message: unfinished });
  if (parts.some((part) => absolutePath(part.folder) === absolutePath(folder))) {
    throw usageError(
      'out-is-input',
      `${folder}: holds the scored files themselves, which weighted ones would replace; choose another --out`,
    );
  }
  const old = rulesWarning(run, await rulesOfParts(storage, parts));
  if (old !== null) sink({ event: 'warning', message: old });
  const [means] = meansColumns(scored.recipe.rows);
  if (means !== undefined && selection.plan.unit === 'token') {
    throw usageError(
      'row-means',
      `${run}: ${means} holds one mean for all tokens of a row or document, as it was imported; method ${loaded.method.name} ranks tokens: take one that ranks rows or documents, or import losses of tokens`,
    );
  }
  const recipe = selectionRecipe(scored, settings, loaded, selection);
  const claim = await claimFolder(folder, hashJson(recipe), storage);
  const options = { ...given, signal: claimedSignal(given.signal, claim) };
  try {
    await storage.sweep?.(folder);
    const { done, pending, damaged } = await derivedParts(
      parts,
      {
        folder,
        kind: 'weighted',
        expected: ({ manifest }) => weightedPart(manifest, recipe),
        what: 'weighted files',
      },
      options,
    );
    const textBytes = (some: readonly FinishedPart[]): number =>
      some.reduce((sum, { manifest }) => sum + manifest.counts.text_bytes, 0);
    const doneBytes = textBytes(parts) - textBytes(pending);
    const shards = new Set(parts.map(({ manifest }) => manifest.shard)).size;
    sink({
      event: 'planned',
      shards,
      parts: parts.length,
      done: done.size,
      text_bytes: textBytes(parts),
      done_bytes: doneBytes,
    });
    const made: Manifest[] = [];
    const doctor = selectionDoctor({
      storage,
      sink,
      conventions: selection.conventions,
      domains: settings.domains,
      means: means !== undefined,
    });
    let statistics: SelectionStatistics | null = null;
    if (pending.length > 0) {
      const domainColumn = loaded.method.name === 'domain-weights' ? settings.domains : null;
      const held = holdParts(selection.rereads ? HELD_BYTES : 0);
      const sources = new Map<FinishedPart, PartSource>(
        parts.map((part) => [part, held.hold(partSource(storage, part, domainColumn, options.signal))]),
      );
      const prepared = await selection.prepare([...sources.values()], { keptBytes: KEPT_BYTES });
      for (const part of pending) {
        options.signal.throwIfAborted();
        const source = sources.get(part);
        if (source === undefined) continue;
        const { shard, part: number } = part.manifest;
        const path = partFiles(folder, shard, number).manifest;
        const elsewhere = await finishedManifest(storage, path, weightedPart(part.manifest, recipe));
        if (elsewhere !== null) {
          made.push(elsewhere);
          continue;
        }
        const weighed = await weighPart(part, {
          source,
          selection,
          prepared,
          recipe,
          compression: compressionOf(scored.recipe.rows),
          folder,
          doctor,
          options,
        });
        made.push(weighed.manifest);
        statistics = statistics === null ? weighed.statistics : addStatistics(statistics, weighed.statistics);
      }
    }
    await carryNotes(storage, run, folder);
    // Before it is told as done: what a removed folder held went with it.
    await claim.check?.();
    const all = [...done.values(), ...made];
    return {
      folder,
      resumed: done.size,
      damaged,
      ...totalsOf(all),
      weightSum: all.reduce((sum, { counts }) => sum + (counts.weight_sum ?? 0), 0),
      statistics,
      findings: doctor.conclude(all),
      conventions: selection.conventions,
      seconds: (Date.now() - started) / 1000,
    };
  } finally {
    await claim.release();
  }
}

/**
 * What determines a weighted part besides its scored file. Where the scope is wider than a part, or the method
 * fits something first, every part depends on all of them, so the recipe names them all.
 */
function selectionRecipe(
  { parts, recipe }: DataSet,
  settings: SelectionSettings,
  { identity }: LoadedMethod,
  selection: Selection,
): JsonObject {
  const { scope, plan } = selection;
  const alone = scope.kind !== 'shard' && scope.kind !== 'dataset' && !(plan.unit === 'token' && plan.fit);
  return {
    semantics: { selecting: 1, writing: FIRST_VERSIONS.writing },
    method: identity,
    select: { ...settings } as JsonObject,
    conventions: { ...selection.conventions },
    scored: recipe.json,
    dataset: alone ? null : hashJson(parts.map(({ manifest }) => scoredDigest(manifest))),
  };
}

/** Weighted files that lie elsewhere have the run's notes beside them: its own are out of their readers' sight. */
async function carryNotes(storage: Storage, run: string, folder: string): Promise<void> {
  const above = folderOf(absolutePath(folder));
  if ([run, folderOf(absolutePath(run))].some((place) => absolutePath(place) === above)) return;
  const notes =
    (await readRunNotes(storage, run)) ?? (await readRunNotes(storage, folderOf(absolutePath(run))));
  if (notes !== null) await writeRunNotes(storage, folder, notes);
}

/** sha256 of the part's scored file. */
function scoredDigest({ outputs, shard, part }: Manifest): string {
  const sequences = outputs.find(({ kind }) => kind === 'sequences');
  if (sequences !== undefined) return sequences.sha256;
  throw usageError(
    'no-sequences',
    `${shard} part ${part}: its manifest names no sequence file; score it again`,
  );
}

/** What the weighted part of a scored one must be. */
const weightedPart = (scored: Manifest, recipe: JsonObject): ExpectedPart => ({
  fingerprint: hashJson({
    recipe,
    scored: scored.fingerprint,
    digest: scoredDigest(scored),
    part: scored.part,
  }),
  recipe,
  input: knownInput(scored),
});

interface Weighing {
  readonly source: PartSource;
  readonly selection: Selection;
  readonly prepared: Prepared;
  readonly recipe: JsonObject;
  readonly compression: 'none' | 'zstd' | 'lz4';
  readonly folder: string;
  readonly doctor: SelectionDoctor;
  readonly options: SelectOptions;
}

async function weighPart(
  scored: FinishedPart,
  { source, selection, prepared, recipe, compression, folder, doctor, options }: Weighing,
): Promise<{ manifest: Manifest; statistics: SelectionStatistics }> {
  const { storage, sink } = options;
  const { shard, part, input, counts } = scored.manifest;
  const { tokens, documents } = counts;
  const started = Date.now();
  sink({ event: 'part-started', shard, part });
  const scoredFile = await openPart(storage, scored);
  await doctor.begin(scored);
  const files = partFiles(folder, shard, part);
  const expected = weightedPart(scored.manifest, recipe);
  const { fingerprint } = expected;
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns: [...scoredFile.columns, 'weight'],
    lossPrecision: scoredFile.lossPrecision,
    compression,
    metadata: { fingerprint, recipe, conventions: { ...selection.conventions } },
  });
  try {
    const weighing = selection.weigh(source, prepared);
    for await (const { batch, weights } of weighing.batches) {
      await writer.write({ ...batch, columns: { ...batch.columns, weight: weights } });
      doctor.add(batch, weights);
      sink({ event: 'progress', tokens: batch.inputIds.length, text_bytes: 0 });
    }
    doctor.end();
    const written = await writer.finish();
    const { statistics } = written;
    const manifest: Manifest = {
      version: MANIFEST_VERSION,
      kind: 'weighted',
      shard,
      part,
      input,
      fingerprint,
      recipe,
      counts: {
        ...counts,
        sequences: statistics.sequences,
        tokens: statistics.tokens,
        ...(statistics.eligible !== undefined && { eligible: statistics.eligible }),
        ...(statistics.kept !== undefined && { kept: statistics.kept }),
        ...(statistics.weight_sum !== undefined && { weight_sum: statistics.weight_sum }),
      },
      histograms: statistics.histograms,
      outputs: [
        {
          kind: 'sequences',
          name: nameOf(files.sequences),
          bytes: written.bytes,
          sha256: written.sha256,
          rows: written.rows,
        },
      ],
    };
    await removeStale(storage, files.manifest, expected);
    await writer.commit();
    sink({ event: 'data-committed', shard, part });
    await (await stageManifest(storage, files.manifest, manifest)).commit();
    sink({ event: 'progress', tokens: 0, text_bytes: counts.text_bytes });
    const seconds = (Date.now() - started) / 1000;
    sink({ event: 'part-done', shard, part, tokens, documents, seconds });
    return { manifest, statistics: weighing.statistics() };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
