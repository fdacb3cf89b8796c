/** One part of an import: its rows with the losses of the next records, its documents, what was excluded. */
import type { Compression } from '../dataset/codecs.js';
import { createDocumentWriter, type DocumentWriter, readDocuments } from '../dataset/documents.js';
import type { FinishedPart } from '../dataset/finished-parts.js';
import { digestOf, MANIFEST_VERSION, type Manifest } from '../dataset/manifest.js';
import { type PartFiles, partFiles } from '../dataset/part-files.js';
import { openPart } from '../dataset/part-source.js';
import type { SequenceFile } from '../dataset/reader.js';
import { compressionOf } from '../dataset/recipe.js';
import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { targetsOf } from '../dataset/targets.js';
import { createSequenceWriter } from '../dataset/writer.js';
import type { JsonObject } from '../json/canonical-json.js';
import type { StagedPart } from '../parts/commit-part.js';
import { outputOf } from '../parts/output-of.js';
import type { MakingContext, Staging } from '../parts/parts-job.js';
import { openReport } from '../parts/report-file.js';
import { nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { createAligner } from './align.js';
import { expectedImport } from './import-recipe.js';
import type { ImportTarget } from './import-target.js';
import type { ImportSettings } from './settings.js';
import type { ShiftWatch } from './shift.js';
import type { RecordReader } from './sources.js';

export interface Importing extends MakingContext {
  readonly target: ImportTarget;
  readonly settings: ImportSettings;
  readonly recipe: JsonObject;
  readonly folder: string;
  /** Stands at the part's first record. */
  readonly reader: RecordReader;
  readonly watch: ShiftWatch;
  readonly staging: Staging;
}

/** Makes one part with the next records' losses, up to its commit. @throws TokensieveError (fatal) as `createAligner` */
export async function importPart(
  part: FinishedPart,
  { target, settings, recipe, folder, reader, watch, storage, sink, signal, staging }: Importing,
): Promise<StagedPart<Manifest> & { readonly excluded: number; readonly negative: number }> {
  const { shard, part: number, input, counts } = part.manifest;
  const files = partFiles(folder, shard, number);
  const { fingerprint } = expectedImport(part, recipe);
  const file = await openPart(storage, part);
  const column: TokenColumn = `${settings.as}_loss`;
  const columns = [
    ...target.losses.filter((name) => name !== column && name !== `${settings.as}_entropy`),
    column,
  ];
  const metadata = { fingerprint, recipe, conventions: conventionsOf(file, settings) };
  const compression = compressionOf(target.recipe.rows);
  const writer = staging(
    await createSequenceWriter(storage, files.sequences, {
      columns,
      lossPrecision: target.kind === 'packed' ? 'fp32' : file.lossPrecision,
      compression,
      metadata,
    }),
  );
  const report = staging(await openReport(storage, files.quarantine));
  const documents = await copiedDocuments(storage, part, files, { compression, metadata }, staging);
  const rules = { per: settings.per, missing: settings.missing, means: settings.means, ...target.rows };
  const aligner = createAligner(reader, `${shard} part ${number}`, rules, watch);
  const tell = async (): Promise<void> => {
    for (const { reason, row, position, tokens, place } of aligner.takeExcluded()) {
      await report.write(
        JSON.stringify({ reason, per: settings.per, row, position, tokens, source: nameOf(place) }),
      );
    }
  };
  for await (const batch of file.batches(digestOf(part.manifest, 'sequences'))) {
    signal.throwIfAborted();
    const targets = targetsOf(batch);
    const losses = await aligner.batch(batch, (token) => targets[token] === 1);
    await tell();
    await writer.write({ ...batch, columns: withLosses(batch, columns, column, losses) });
    sink({ event: 'progress', tokens: batch.inputIds.length, text_bytes: 0 });
  }
  aligner.finish();
  await reader.check();
  sink({ event: 'progress', tokens: 0, text_bytes: counts.text_bytes });
  const written = await writer.finish();
  const copied = await documents?.finish();
  const told = await report.finish();
  const { statistics } = written;
  const { kept: _, weight_sum: __, ...own } = counts;
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    kind: 'scored',
    shard,
    part: number,
    input,
    fingerprint,
    recipe,
    counts: {
      ...own,
      sequences: statistics.sequences,
      tokens: statistics.tokens,
      ...(statistics.eligible !== undefined && { eligible: statistics.eligible }),
    },
    histograms: statistics.histograms,
    outputs: [
      outputOf('sequences', files.sequences, written),
      ...(copied === undefined ? [] : [outputOf('documents', files.documents, copied)]),
      ...(told === null ? [] : [outputOf('quarantine', files.quarantine, told)]),
    ],
  };
  const staged = [...(documents === null ? [] : [documents]), report, writer];
  return { manifest, files: staged, ...aligner.counts };
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
  { compression, metadata }: { readonly compression: Compression; readonly metadata: JsonObject },
  staging: Staging,
): Promise<DocumentWriter | null> {
  const sha256 = digestOf(part.manifest, 'documents');
  if (sha256 === undefined) return null;
  const { shard, part: number } = part.manifest;
  const from = await readDocuments(storage, partFiles(part.folder, shard, number).documents);
  const options = { keep: from.keep, compression, metadata };
  const writer = staging(await createDocumentWriter(storage, files.documents, options));
  for await (const batch of from.batches(sha256)) await writer.write(batch);
  return writer;
}
