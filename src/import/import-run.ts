import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Manifest } from '../dataset/manifest.js';
import { scoredFolder } from '../dataset/part-files.js';
import { openPart } from '../dataset/part-source.js';
import { readRunNotes, writeRunNotes } from '../dataset/run-notes.js';
import { usageError } from '../errors.js';
import { hashJson } from '../json/canonical-json.js';
import { derivedParts } from '../parts/derived-parts.js';
import type { EventSink } from '../parts/events.js';
import { type Totals, totalsOf } from '../parts/totals.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import { absolutePath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { importPart } from './import-part.js';
import { expectedImport, importRecipe } from './import-recipe.js';
import { openTarget } from './import-target.js';
import type { ImportSettings } from './settings.js';
import { createShiftWatch } from './shift.js';
import { openSources, type RecordReader, readSources } from './sources.js';

export interface ImportOptions {
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
  /** Redo parts that were made of other sources or with other settings, instead of refusing. */
  readonly replace: boolean;
}

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
  /** Records that the sources have beyond the run's last. */
  readonly leftOver: number;
  readonly seconds: number;
}

/** Records counted beyond the run's last before the count is given up. */
const MOST_LEFT_OVER = 1_000_000;

/**
 * Writes scored parts of a packed or scored run with losses that were computed elsewhere, part by part, resumable as scoring is.
 * Sources are read as a stream beside the run; one record batch and one record are in memory.
 * @throws TokensieveError (usage) `nothing-to-import-into`, `out-is-input`, `stale-parts`, `folder-busy`; as `openSources`
 *   throws; (fatal) what does not fit, as `createAligner` says
 */
export async function importScores(settings: ImportSettings, given: ImportOptions): Promise<ImportReport> {
  const started = performance.now();
  const { storage, sink } = given;
  const folder = scoredFolder(settings.out);
  const target = await openTarget(storage, settings, (message) => sink({ event: 'warning', message }));
  if (absolutePath(target.folder) === absolutePath(folder)) {
    throw usageError(
      'out-is-input',
      `${folder}: holds the scored files themselves, which the imported ones would replace; choose another --out`,
    );
  }
  const old = rulesWarning(settings.run, await rulesOfParts(storage, target.parts));
  if (old !== null) sink({ event: 'warning', message: old });
  const sources = await openSources(storage, settings, given.signal);
  const recipe = importRecipe(settings, target, sources);
  const claim = await claimFolder(settings.out, hashJson(recipe), storage);
  const options = { ...given, signal: claimedSignal(given.signal, claim) };
  try {
    await storage.sweep?.(folder);
    const { done, damaged } = await derivedParts(
      target.parts,
      { folder, kind: 'scored', expected: (part) => expectedImport(part, recipe), what: 'import' },
      options,
    );
    const textBytes = (parts: readonly Pick<Manifest, 'counts'>[]): number =>
      parts.reduce((sum, { counts }) => sum + counts.text_bytes, 0);
    sink({
      event: 'planned',
      shards: new Set(target.parts.map(({ manifest }) => manifest.shard)).size,
      parts: target.parts.length,
      done: done.size,
      text_bytes: textBytes(target.parts.map(({ manifest }) => manifest)),
      done_bytes: textBytes([...done.values()]),
    });
    const made: Manifest[] = [];
    const counts = { excluded: 0, negative: 0 };
    let leftOver = 0;
    const watch = createShiftWatch();
    const reader = readSources(storage, sources, settings);
    try {
      for (const part of target.parts) {
        options.signal.throwIfAborted();
        const finished = done.get(part);
        if (finished !== undefined) {
          await passOver(storage, part, settings.per, reader, options.signal);
          continue;
        }
        const imported = await importPart(part, {
          target,
          settings,
          recipe,
          folder,
          reader,
          watch,
          ...options,
        });
        made.push(imported.manifest);
        counts.excluded += imported.excluded;
        counts.negative += imported.negative;
      }
      // Told again when everything was done before: they are the sign of a source of another run.
      while (leftOver < MOST_LEFT_OVER && (await reader.next()) !== null) leftOver++;
    } finally {
      await reader.close();
    }
    const notes = await readRunNotes(storage, target.run);
    if (notes !== null) {
      const models = notes.models.filter(
        ({ role }) => role !== settings.as && target.losses.includes(`${role}_loss`),
      );
      await writeRunNotes(storage, settings.out, { ...notes, models });
    }
    // Before it is told as done: what a removed folder held went with it.
    await claim.check?.();
    const all = [...done.values(), ...made];
    return {
      folder,
      column: `${settings.as}_loss`,
      resumed: done.size,
      damaged,
      ...totalsOf(all),
      incomplete: all.filter(({ outputs }) => outputs.some(({ kind }) => kind === 'quarantine')).length,
      ...counts,
      leftOver,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await claim.release();
  }
}

/** Takes a done part's records from the sources, as many as it has rows or documents. */
async function passOver(
  storage: Storage,
  part: FinishedPart,
  per: ImportSettings['per'],
  reader: RecordReader,
  signal: AbortSignal,
): Promise<void> {
  let records = part.manifest.counts.sequences;
  if (per === 'document') {
    records = 0;
    let last: bigint | null = null;
    for await (const { segments } of (await openPart(storage, part)).batches()) {
      signal.throwIfAborted();
      for (const [s, document] of segments.document.entries()) {
        if (document === last || (segments.tokenCount[s] ?? 0) === 0) continue;
        last = document;
        records++;
      }
    }
  }
  for (; records > 0; records--) {
    if (records % 1024 === 0) signal.throwIfAborted();
    await reader.next();
  }
}
