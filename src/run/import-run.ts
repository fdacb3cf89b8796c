import type { ImportSettings } from '../config/import.js';
import { hashJson, type JsonObject } from '../dataset/canonical-json.js';
import { createDocumentWriter, readDocuments } from '../dataset/documents.js';
import { type FinishedPart, knownInput } from '../dataset/finished-parts.js';
import {
  digestOf,
  MANIFEST_VERSION,
  type Manifest,
  type ManifestOutput,
  stageManifest,
} from '../dataset/manifest.js';
import { type PartFiles, partFiles, scoredFolder } from '../dataset/part-files.js';
import type { SequenceFile } from '../dataset/reader.js';
import { readRunNotes, writeRunNotes } from '../dataset/run-notes.js';
import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { createSequenceWriter } from '../dataset/writer.js';
import { usageError } from '../errors.js';
import { createAligner } from '../import/align.js';
import { openSources, type RecordReader, readSources } from '../import/sources.js';
import { claimedSignal, claimFolder } from '../storage/folder-claim.js';
import { absolutePath, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { tellDamaged } from './damaged-parts.js';
import { type ExpectedPart, partState, removeStale } from './done-parts.js';
import type { EventSink } from './events.js';
import { type ImportTarget, openTarget } from './import-target.js';
import { clearLeftovers, listPartsAndSizes } from './leftovers.js';
import { SEMANTICS } from './recipe.js';
import { openReport } from './report-file.js';
import { openScored } from './scored-parts.js';
import { type Totals, totalsOf } from './totals.js';

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
  /** Records that the sources have beyond the run's last; null when every part was done before. */
  readonly leftOver: number | null;
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
  const sources = await openSources(storage, settings, given.signal);
  const recipe = importRecipe(settings, target, sources);
  const claim = await claimFolder(settings.out, hashJson(recipe), storage);
  const options = { ...given, signal: claimedSignal(given.signal, claim) };
  try {
    await storage.sweep?.(folder);
    const { done, damaged } = await doneParts(target.parts, recipe, folder, options);
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
    let leftOver: number | null = null;
    if (done.size < target.parts.length) {
      const reader = readSources(storage, sources, settings);
      try {
        for (const part of target.parts) {
          options.signal.throwIfAborted();
          const finished = done.get(part);
          if (finished !== undefined) {
            await passOver(storage, part, settings.per, reader, options.signal);
            continue;
          }
          const imported = await importPart(part, { target, settings, recipe, folder, reader, options });
          made.push(imported.manifest);
          counts.excluded += imported.excluded;
          counts.negative += imported.negative;
        }
        leftOver = 0;
        while (leftOver < MOST_LEFT_OVER && (await reader.next()) !== null) leftOver++;
      } finally {
        await reader.close();
      }
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

/** Everything but the run's own parts that determines the bytes of an imported part. */
function importRecipe(
  settings: ImportSettings,
  { recipe, losses, kind }: ImportTarget,
  sources: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[],
): JsonObject {
  const { run: _, out: __, losses: ___, model_name, ...rest } = settings;
  const files = sources.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
  const { models, semantics, import: before, ...rows } = recipe;
  const others = (models ?? {}) as JsonObject;
  const known = (role: 'reference' | 'current') =>
    losses.includes(`${role}_loss`) ? (others[role] ?? null) : null;
  const own = hashJson({ model_name, sources: files });
  return {
    ...rows,
    semantics: { ...(semantics as JsonObject | undefined), importing: 1, writing: SEMANTICS.writing },
    models: {
      reference: settings.as === 'reference' ? own : known('reference'),
      current: settings.as === 'current' ? own : known('current'),
    },
    // Defaults that were not given stay out of it: undefined is not JSON.
    import: {
      ...(JSON.parse(JSON.stringify(rest)) as JsonObject),
      model_name,
      sources: files,
      into: { kind, recipe: hashJson(recipe) },
      ...(before !== undefined && losses.includes(otherLoss(settings.as)) && { before }),
    },
  };
}

const otherLoss = (role: ImportSettings['as']): TokenColumn =>
  role === 'reference' ? 'current_loss' : 'reference_loss';

const expectedPart = ({ manifest }: FinishedPart, recipe: JsonObject): ExpectedPart => ({
  fingerprint: hashJson({
    recipe,
    part: manifest.part,
    into: manifest.fingerprint,
    digest: digestOf(manifest, 'sequences') ?? null,
  }),
  recipe,
  input: knownInput(manifest),
});

/** The parts that are done. @throws TokensieveError (usage) `stale-parts` */
async function doneParts(
  parts: readonly FinishedPart[],
  recipe: JsonObject,
  folder: string,
  { storage, replace, sink }: ImportOptions,
): Promise<{ readonly done: ReadonlyMap<FinishedPart, Manifest>; readonly damaged: number }> {
  const { found, sizes } = await listPartsAndSizes(storage, folder);
  const manifests = new Set(found.map(({ shard, part }) => partFiles(folder, shard, part).manifest));
  const wanted = new Set<string>();
  const done = new Map<FinishedPart, Manifest>();
  const damaged: string[] = [];
  for (const part of parts) {
    const path = partFiles(folder, part.manifest.shard, part.manifest.part).manifest;
    wanted.add(path);
    const state = await partState(storage, manifests, path, expectedPart(part, recipe), sizes);
    if (state.state === 'damaged') damaged.push(state.why);
    if (state.state === 'done') done.set(part, state.manifest);
    if (state.state === 'stale' && !replace) {
      throw usageError(
        'stale-parts',
        `${path}: made otherwise (${state.why.slice(0, 4).join('; ')}); choose another --out, or redo the import with --replace`,
      );
    }
  }
  const leftovers = found.filter(({ shard, part }) => !wanted.has(partFiles(folder, shard, part).manifest));
  const removed = await clearLeftovers(storage, folder, 'scored', leftovers, replace);
  if (removed > 0) sink({ event: 'note', message: `removed ${removed} leftover part(s) from ${folder}` });
  tellDamaged(damaged, sink);
  return { done, damaged: damaged.length };
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
    for await (const { segments } of (await openScored(storage, part)).batches()) {
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

interface Importing {
  readonly target: ImportTarget;
  readonly settings: ImportSettings;
  readonly recipe: JsonObject;
  readonly folder: string;
  readonly reader: RecordReader;
  readonly options: ImportOptions;
}

async function importPart(
  part: FinishedPart,
  { target, settings, recipe, folder, reader, options }: Importing,
): Promise<{ readonly manifest: Manifest; readonly excluded: number; readonly negative: number }> {
  const { storage, sink, signal } = options;
  const { shard, part: number, input, counts } = part.manifest;
  const started = performance.now();
  sink({ event: 'part-started', shard, part: number });
  const files = partFiles(folder, shard, number);
  const expected = expectedPart(part, recipe);
  const file = await openScored(storage, part);
  const column: TokenColumn = `${settings.as}_loss`;
  const columns = [
    ...target.losses.filter((name) => name !== column && name !== `${settings.as}_entropy`),
    column,
  ];
  const metadata = { fingerprint: expected.fingerprint, recipe, conventions: conventionsOf(file, settings) };
  const { compression } = target;
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns,
    lossPrecision: target.kind === 'packed' ? 'fp32' : file.lossPrecision,
    compression,
    metadata,
  });
  const report = await openReport(storage, files.quarantine);
  const documents = await copiedDocuments(storage, part, files, { compression, metadata });
  try {
    const name = `${shard} part ${number}`;
    const aligner = createAligner(reader, name, {
      per: settings.per,
      missing: settings.missing,
      means: settings.means,
      ...target.rows,
    });
    const tell = async (): Promise<void> => {
      for (const { reason, row, position, tokens, place } of aligner.takeExcluded()) {
        await report.write(
          JSON.stringify({ reason, per: settings.per, row, position, tokens, source: nameOf(place) }),
        );
      }
    };
    for await (const batch of file.batches(digestOf(part.manifest, 'sequences'))) {
      signal.throwIfAborted();
      const own = batch.columns[target.targetColumn] ?? new Float32Array(batch.inputIds.length);
      const isTarget =
        target.targetColumn === 'weight'
          ? (token: number) => own[token] !== 0
          : (token: number) => !Number.isNaN(own[token]);
      const losses = await aligner.batch(batch, isTarget);
      await tell();
      await writer.write({ ...batch, columns: withLosses(batch, columns, column, losses) });
      sink({ event: 'progress', tokens: batch.inputIds.length, text_bytes: 0 });
    }
    aligner.finish();
    const written = await writer.finish();
    const copied = await documents?.finish();
    const told = await report.finish();
    const { statistics } = written;
    const outputs: ManifestOutput[] = [
      { kind: 'sequences', name: nameOf(files.sequences), ...sized(written) },
    ];
    if (copied !== undefined)
      outputs.push({ kind: 'documents', name: nameOf(files.documents), ...sized(copied) });
    if (told !== null) outputs.push({ kind: 'quarantine', name: nameOf(files.quarantine), ...sized(told) });
    const { kept: _, weight_sum: __, ...own } = counts;
    const manifest: Manifest = {
      version: MANIFEST_VERSION,
      kind: 'scored',
      shard,
      part: number,
      input,
      fingerprint: expected.fingerprint,
      recipe,
      counts: {
        ...own,
        sequences: statistics.sequences,
        tokens: statistics.tokens,
        ...(statistics.eligible !== undefined && { eligible: statistics.eligible }),
      },
      histograms: statistics.histograms,
      outputs,
    };
    await removeStale(storage, files.manifest, expected);
    await documents?.commit();
    if (told !== null) await report.commit();
    else await storage.remove(files.quarantine);
    await writer.commit();
    sink({ event: 'data-committed', shard, part: number });
    await (await stageManifest(storage, files.manifest, manifest)).commit();
    sink({ event: 'progress', tokens: 0, text_bytes: counts.text_bytes });
    const seconds = (performance.now() - started) / 1000;
    sink({
      event: 'part-done',
      shard,
      part: number,
      tokens: counts.tokens,
      documents: counts.documents,
      seconds,
    });
    return { manifest, ...aligner.counts };
  } catch (error) {
    await writer.abort();
    await documents?.abort();
    await report.abort();
    throw error;
  }
}

/** The columns of an imported batch. A target that was excluded is one under no model. */
function withLosses(
  { columns: before }: SequenceBatch,
  columns: readonly TokenColumn[],
  column: TokenColumn,
  losses: Float32Array,
): SequenceBatch['columns'] {
  const kept = columns.filter((name) => name !== column);
  return Object.fromEntries([
    [column, losses],
    ...kept.map((name) => {
      const values = before[name] ?? new Float32Array(losses.length);
      return [
        name,
        values.map((value, token) => (Number.isNaN(losses[token]) ? Number.NaN : value)),
      ] as const;
    }),
  ]);
}

/** What the imported column is, beside what the run says of its rows and other losses. */
function conventionsOf({ metadata }: SequenceFile, settings: ImportSettings): JsonObject {
  const { method: _, weight: __, normaliser: ___, ...rows } = (metadata['conventions'] ?? {}) as JsonObject;
  return {
    loss: 'nats; entry i belongs to token i, given the tokens before it in its row; NaN where there is none',
    ...rows,
    [`${settings.as}_loss`]: `imported (${settings.model_name}): given the tokens before it in a ${settings.per} as the source was scored`,
    ids_compared: settings.ids === 'check',
  };
}

/** The part's documents file under the new fingerprint; null where the run has none. */
async function copiedDocuments(
  storage: Storage,
  part: FinishedPart,
  files: PartFiles,
  { compression, metadata }: { readonly compression: 'none' | 'zstd' | 'lz4'; readonly metadata: JsonObject },
) {
  const sha256 = digestOf(part.manifest, 'documents');
  if (sha256 === undefined) return null;
  const { shard, part: number } = part.manifest;
  const from = await readDocuments(storage, partFiles(part.folder, shard, number).documents);
  const writer = await createDocumentWriter(storage, files.documents, {
    keep: from.keep,
    compression,
    metadata,
  });
  try {
    for await (const batch of from.batches(sha256)) await writer.write(batch);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer;
}

const sized = ({ bytes, sha256, rows }: { bytes: number; sha256: string; rows: number }) => ({
  bytes,
  sha256,
  rows,
});
