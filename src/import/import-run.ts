import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { scoredFolder } from '../dataset/part-files.js';
import { readRunNotes, writeRunNotes } from '../dataset/run-notes.js';
import { usageError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import { derivedParts } from '../parts/derived-job.js';
import type { Lane, OpenOptions, PartsJob, PartsOptions } from '../parts/parts-job.js';
import { runParts } from '../parts/run-parts.js';
import { type Totals, totalsOf } from '../parts/totals.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import { absolutePath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { importPart } from './import-part.js';
import { expectedImport, importRecipe } from './import-recipe.js';
import { type ImportTarget, openTarget } from './import-target.js';
import { recordsOfParts } from './records-of-parts.js';
import type { ImportSettings } from './settings.js';
import { createShiftWatch, type ShiftWatch } from './shift.js';
import { openSources, type RecordReader, readSources } from './sources.js';

export type ImportOptions = PartsOptions;

/** With a share, all of it is the share's. */
export interface ImportReport extends Totals {
  /** Folder of the scored files. */
  readonly folder: string;
  readonly column: 'reference_loss' | 'current_loss';
  readonly resumed: number;
  readonly damaged: number;
  /** Parts in which targets without a loss were excluded. */
  readonly incomplete: number;
  /** Targets excluded, in the parts that this call made. */
  readonly excluded: number;
  /** Losses a little below 0 that were kept, in the parts that this call made. */
  readonly negative: number;
  /** Records that the sources have beyond the run's last; told by whoever sees every part done. */
  readonly leftOver: number;
  readonly seconds: number;
}

/**
 * Writes scored parts of a packed or scored run with losses that were computed elsewhere, part by part, resumable as scoring is.
 * Sources are read as a stream beside the run; one record batch and one record are in memory.
 * @throws TokensieveError (usage) `nothing-to-import-into`, `out-is-input`, `stale-parts`, `folder-busy`; as `openSources`
 *   throws; (fatal) what does not fit, as `createAligner` says
 */
export async function importScores(settings: ImportSettings, options: ImportOptions): Promise<ImportReport> {
  const started = performance.now();
  const { job, counts, close } = await openImporting(settings, options);
  try {
    const { kept, resumed, damaged } = await runParts(job, options);
    return {
      folder: job.manifests.folder,
      column: `${settings.as}_loss`,
      resumed,
      damaged,
      ...totalsOf(kept),
      incomplete: kept.filter(isIncomplete).length,
      ...counts,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await close();
  }
}

const isIncomplete = ({ outputs }: Manifest): boolean => outputs.some(({ kind }) => kind === 'quarantine');

/** The sources as one lane reads them. */
interface ImportLane extends Lane {
  readonly watch: ShiftWatch;
  /** Opens them at the first record of a part, whichever part they stood at. */
  at(part: FinishedPart, signal: AbortSignal): Promise<RecordReader>;
  /** The records of the part that they stood at are taken. */
  passed(part: FinishedPart): void;
}

export type ImportJob = PartsJob<FinishedPart, ImportLane, Manifest, Manifest>;

/**
 * An import, opened: the run that it goes into is known, its sources are hashed.
 * @throws TokensieveError (usage) `nothing-to-import-into`, `out-is-input`; as `openSources` throws
 */
export async function openImporting(
  settings: ImportSettings,
  { storage, sink, signal, workers = 1 }: OpenOptions,
): Promise<{
  readonly job: ImportJob;
  /** Of the parts that this process made. */
  readonly counts: { readonly excluded: number; readonly negative: number; readonly leftOver: number };
  close(): Promise<void>;
}> {
  const folder = scoredFolder(settings.out);
  const target = await openTarget(storage, settings, (message) => sink({ event: 'warning', message }));
  if (absolutePath(target.folder) === absolutePath(folder)) {
    throw usageError(
      'out-is-input',
      `${folder}: holds the scored files themselves, which the imported ones would replace; choose another --out`,
    );
  }
  const { parts } = target;
  const old = rulesWarning(settings.run, await rulesOfParts(storage, parts));
  if (old !== null) sink({ event: 'warning', message: old });
  const sources = await openSources(storage, settings, signal);
  const recipe = importRecipe(settings, target, sources);
  const expected = (part: FinishedPart) => expectedImport(part, recipe);
  const records = recordsOfParts(storage, parts, () => readSources(storage, sources, settings), settings.per);
  const counts = { excluded: 0, negative: 0, leftOver: 0 };
  const job: ImportJob = {
    kind: 'scored',
    out: settings.out,
    identity: hashJson(recipe),
    workers,
    ...derivedParts(parts, { folder, kind: 'scored', expected, what: 'import' }),
    open: async () => ({ ...records.lane(), watch: createShiftWatch() }),
    async *parts(part, lane, context) {
      const { shard, part: number } = part.manifest;
      yield {
        place: { shard, part: number },
        expected: expected(part),
        async make(staging) {
          const reader = await lane.at(part, context.signal);
          const own = { target, settings, recipe, folder, reader, watch: lane.watch, staging };
          const { excluded, negative, ...made } = await importPart(part, { ...own, ...context });
          lane.passed(part);
          counts.excluded += excluded;
          counts.negative += negative;
          return made;
        },
      };
    },
    quarantined: isIncomplete,
    async finish(context, all) {
      await carryNotes(storage, target, settings);
      // Told again when everything was done before: they are the sign of a source of another run.
      if ((await all()) !== null) counts.leftOver = await records.leftOver(context.signal);
    },
  };
  return { job, counts, close: records.close };
}

/** Where the run's inputs were, without the model whose losses are imported now. */
async function carryNotes(
  storage: Storage,
  { run, losses }: ImportTarget,
  { as, out }: ImportSettings,
): Promise<void> {
  const notes = await readRunNotes(storage, run);
  if (notes === null) return;
  const models = notes.models.filter(({ role }) => role !== as && losses.includes(`${role}_loss`));
  await writeRunNotes(storage, out, { ...notes, models });
}
