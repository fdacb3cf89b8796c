import { type DataSetPart, openDataSet } from '../dataset/data-set.js';
import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { weightedFolder } from '../dataset/part-files.js';
import { partSource } from '../dataset/part-source.js';
import { compressionOf, meansColumns } from '../dataset/recipe.js';
import { readRunNotes, writeRunNotes } from '../dataset/run-notes.js';
import { usageError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import { derivedParts } from '../parts/derived-job.js';
import type { ExpectedPart } from '../parts/manifests.js';
import type { OpenOptions, PartsJob, PartsOptions } from '../parts/parts-job.js';
import { runParts } from '../parts/run-parts.js';
import { tasksOfShare } from '../parts/share.js';
import { type Totals, totalsOf } from '../parts/totals.js';
import { unfinishedRun } from '../parts/unfinished.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import { absolutePath, folderOf, joinPath, pathBelow } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { Finding } from './diagnosis/finding.js';
import { loadMethod } from './load.js';
import { openWeighers, type WeighingLane } from './open-weighers.js';
import type { Prepared } from './preparation.js';
import type { ReadingOptions } from './read-all.js';
import { createSelection, type Selection } from './selection.js';
import { selectionDoctor } from './selection-doctor.js';
import { selectionRecipe, weightedPart } from './selection-recipe.js';
import type { SelectionSettings } from './settings.js';
import { addStatistics, type SelectionStatistics } from './statistics.js';

/**
 * Folder below the weighted files where processes that select together put what they count. No manifest lies in it, so that
 * no reader takes it for parts; it is gone when the selection is done.
 */
const COUNTS = '.counts';

export type SelectOptions = PartsOptions;

/** With a share, all of it is the share's. */
export interface SelectReport extends Totals {
  /** Folder of the weighted files. */
  readonly folder: string;
  readonly resumed: number;
  /** Weighted parts found damaged, which this call made again. */
  readonly damaged: number;
  readonly weightSum: number;
  /** Of the parts weighed by this call; null when all were done before. */
  readonly statistics: SelectionStatistics | null;
  /** What speaks against this selection, by whoever sees every part done; told to the sink as warnings too. */
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
  options: SelectOptions,
): Promise<SelectReport> {
  const started = Date.now();
  const { job, conventions, outcome } = await openSelecting(run, folder, settings, options);
  const { kept, resumed, damaged } = await runParts(job, options);
  return {
    folder,
    resumed,
    damaged,
    ...totalsOf(kept),
    weightSum: kept.reduce((sum, { counts }) => sum + (counts.weight_sum ?? 0), 0),
    ...outcome(),
    conventions,
    seconds: (Date.now() - started) / 1000,
  };
}

export type SelectJob = PartsJob<FinishedPart, WeighingLane, Manifest, Manifest>;

/**
 * A selection, opened: its scored parts are known, nothing is read of their losses.
 * @throws TokensieveError (usage) as `selectRun` does, but for `stale-parts`
 */
export async function openSelecting(
  run: string,
  folder: string,
  settings: SelectionSettings,
  { storage, sink, share, queued = false, workers = 1 }: OpenOptions,
): Promise<{
  readonly job: SelectJob;
  readonly conventions: Selection['conventions'];
  /** Of the parts that this process weighed. */
  outcome(): Pick<SelectReport, 'statistics' | 'findings'>;
  close(): Promise<void>;
}> {
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
  const expected = (part: FinishedPart): ExpectedPart => weightedPart(part, recipe);
  const { conventions } = selection;
  const doctor = selectionDoctor({
    storage,
    sink,
    conventions,
    domains: settings.domains,
    means: means !== undefined,
  });
  const domainColumn = loaded.method.name === 'domain-weights' ? settings.domains : null;
  const rules = { folder, recipe, compression: compressionOf(scored.recipe.rows), domainColumn };
  // Once for all parts of this process, with the first of them.
  let opened: Promise<() => WeighingLane> | null = null;
  const statistics = new Map<FinishedPart, SelectionStatistics>();
  let findings: readonly Finding[] = [];
  const derived = derivedParts(parts, { folder, kind: 'weighted', expected, what: 'weighted files' });
  const identity = hashJson(recipe);
  const counts = joinPath(folder, COUNTS);
  const prepare = async (signal: AbortSignal, options: ReadingOptions): Promise<Prepared> => {
    const sources = parts.map((part) => partSource(storage, part, domainColumn, signal));
    if (!queued && (share === undefined || share.count === 1)) return selection.prepare(sources, options);
    const current = joinPath(counts, identity.slice(0, 16));
    await removeBelow(storage, counts, current);
    const own = new Set(share === undefined ? [] : tasksOfShare(parts, share, derived.textBytes));
    const order = orderOf(sources, (index) => own.has(parts[index] as DataSetPart));
    return selection.prepare(sources, { ...options, together: { storage, folder: current, order, signal } });
  };
  const job: SelectJob = {
    kind: 'weighted',
    out: folder,
    // Beside those of scoring, where `status` looks for them.
    notes: absolutePath(folder) === absolutePath(weightedFolder(run)) ? run : folder,
    identity,
    workers,
    ...derived,
    async open(lanes, signal) {
      // What failed, or ended with its last lane, is opened afresh by whoever opens the next one.
      const afresh = (): void => {
        opened = null;
      };
      opened ??= openWeighers(lanes, parts, {
        selection,
        settings,
        rules,
        storage,
        signal,
        prepare: (options) => prepare(signal, options),
        closed: afresh,
      });
      const lane = opened;
      lane.catch(afresh);
      return (await lane)();
    },
    async *parts(part, lane, context) {
      const { shard, part: number } = part.manifest;
      yield {
        place: { shard, part: number },
        expected: expected(part),
        async make(staging) {
          const tell = (tokens: number): void => context.sink({ event: 'progress', tokens, text_bytes: 0 });
          const { signal } = context;
          const weighed = await lane.weigh(part, expected(part).fingerprint, { signal, tell });
          const { manifest, file } = weighed;
          staging(file);
          await doctor.add(part, weighed.sums);
          statistics.set(part, weighed.statistics);
          context.sink({ event: 'progress', tokens: 0, text_bytes: manifest.counts.text_bytes });
          return { manifest, files: [file] };
        },
      };
    },
    quarantined: () => false,
    async finish(_, all) {
      await carryNotes(storage, run, folder);
      const weighted = await all();
      if (weighted === null) return;
      findings = doctor.conclude(weighted);
      await removeBelow(storage, counts);
    },
  };
  return {
    job,
    conventions,
    outcome: () => {
      const own = parts.flatMap((part) => statistics.get(part) ?? []);
      return { statistics: own.length === 0 ? null : own.reduce(addStatistics), findings };
    },
    close: async () => undefined,
  };
}

/**
 * The order in which a process reads parts that others read too: its own first, then those of others from their ends. One
 * of a queue, which has none of its own, begins anywhere.
 */
function orderOf<T>(parts: readonly T[], isOwn: (index: number) => boolean): readonly T[] {
  const own = parts.filter((_, index) => isOwn(index));
  const others = parts.filter((_, index) => !isOwn(index)).reverse();
  if (own.length > 0) return [...own, ...others];
  const first = Math.floor(Math.random() * parts.length);
  return [...parts.slice(first), ...parts.slice(0, first)];
}

/** Removes what lies below a folder, but for what lies below `kept`. */
async function removeBelow(storage: Storage, folder: string, kept?: string): Promise<void> {
  for (const path of await storage.list(folder)) {
    if (kept === undefined || pathBelow(kept, path) === null) await storage.remove(path);
  }
}

/** Weighted files that lie elsewhere have the run's notes beside them: its own are out of their readers' sight. */
async function carryNotes(storage: Storage, run: string, folder: string): Promise<void> {
  const above = folderOf(absolutePath(folder));
  if ([run, folderOf(absolutePath(run))].some((place) => absolutePath(place) === above)) return;
  const notes =
    (await readRunNotes(storage, run)) ?? (await readRunNotes(storage, folderOf(absolutePath(run))));
  if (notes !== null) await writeRunNotes(storage, folder, notes);
}
