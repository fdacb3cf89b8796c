/** One part of an import: its rows with the losses of the next records, its documents, what was excluded. */

import { createDocumentWriter, readDocuments } from '../dataset/documents.js';
import type { FinishedPart } from '../dataset/finished-parts.js';
import {
  digestOf,
  MANIFEST_VERSION,
  type Manifest,
  type ManifestOutput,
  stageManifest,
} from '../dataset/manifest.js';
import { type PartFiles, partFiles } from '../dataset/part-files.js';
import { openPart } from '../dataset/part-source.js';
import type { SequenceFile } from '../dataset/reader.js';
import { compressionOf } from '../dataset/recipe.js';
import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { targetsOf } from '../dataset/targets.js';
import { createSequenceWriter } from '../dataset/writer.js';
import type { JsonObject } from '../json/canonical-json.js';
import { removeStale } from '../parts/done-parts.js';
import type { EventSink } from '../parts/events.js';
import { openReport } from '../parts/report-file.js';
import { nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { createAligner } from './align.js';
import { expectedImport } from './import-recipe.js';
import type { ImportTarget } from './import-target.js';
import type { ImportSettings } from './settings.js';
import type { ShiftWatch } from './shift.js';
import type { RecordReader } from './sources.js';

export interface Importing {
  readonly target: ImportTarget;
  readonly settings: ImportSettings;
  readonly recipe: JsonObject;
  readonly folder: string;
  readonly reader: RecordReader;
  readonly watch: ShiftWatch;
  readonly storage: Storage;
  readonly sink: EventSink;
  readonly signal: AbortSignal;
}

/** Writes one part with the next records' losses. @throws TokensieveError (fatal) as `createAligner` */
export async function importPart(
  part: FinishedPart,
  { target, settings, recipe, folder, reader, watch, storage, sink, signal }: Importing,
): Promise<{ readonly manifest: Manifest; readonly excluded: number; readonly negative: number }> {
  const { shard, part: number, input, counts } = part.manifest;
  const started = performance.now();
  sink({ event: 'part-started', shard, part: number });
  const files = partFiles(folder, shard, number);
  const expected = expectedImport(part, recipe);
  const file = await openPart(storage, part);
  const column: TokenColumn = `${settings.as}_loss`;
  const columns = [
    ...target.losses.filter((name) => name !== column && name !== `${settings.as}_entropy`),
    column,
  ];
  const metadata = { fingerprint: expected.fingerprint, recipe, conventions: conventionsOf(file, settings) };
  const compression = compressionOf(target.recipe.rows);
  const writer = await createSequenceWriter(storage, files.sequences, {
    columns,
    lossPrecision: target.kind === 'packed' ? 'fp32' : file.lossPrecision,
    compression,
    metadata,
  });
  const report = await openReport(storage, files.quarantine);
  let documents: Awaited<ReturnType<typeof copiedDocuments>> = null;
  try {
    documents = await copiedDocuments(storage, part, files, { compression, metadata });
    const name = `${shard} part ${number}`;
    const aligner = createAligner(
      reader,
      name,
      {
        per: settings.per,
        missing: settings.missing,
        means: settings.means,
        ...target.rows,
      },
      watch,
    );
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
