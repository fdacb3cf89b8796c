import { fatalError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { fromHalf, toHalf } from '../numbers/fp16-bf16.js';
import type { Storage } from '../storage/storage.js';
import {
  type ColumnData,
  createArrowFile,
  type FileDigest,
  flatColumn,
  listColumn,
  structColumn,
} from './arrow-writer.js';
import type { Compression } from './codecs.js';
import { inFileOrder, type LossPrecision, sequenceSchema } from './schema.js';
import { rowsOf, type SequenceBatch, type TokenColumn } from './sequence-batch.js';
import { createSequenceBuffer } from './sequence-buffer.js';
import { createStatistics, type SequenceStatistics } from './statistics.js';
import { checkTokenValues, whereIs } from './token-values.js';

export interface SequenceWriterOptions {
  /** Token columns of the file, in any order; every batch has exactly these. */
  readonly columns: readonly TokenColumn[];
  readonly lossPrecision: LossPrecision;
  readonly compression: Compression;
  /** Fingerprints and conventions, stored in the schema metadata under `tokensieve`. */
  readonly metadata: JsonObject;
  /** Of the losses of these very rows, from the manifest of a file whose bytes are checked while they are read. */
  readonly histograms?: SequenceStatistics['histograms'];
}

/** A finished sequence file: its bytes, and statistics of the values as stored (after rounding to fp16). */
export interface SequenceFileSummary extends FileDigest {
  readonly rows: number;
  readonly tokens: number;
  readonly statistics: SequenceStatistics;
}

export interface SequenceWriter {
  /** Takes rows; their arrays may be reused once it resolves. */
  write(batch: SequenceBatch): Promise<void>;
  /** Writes what is left and the footer. Nothing is visible under the path until `commit`. */
  finish(): Promise<SequenceFileSummary>;
  commit(): Promise<void>;
  /** Throws the file away. Safe at any time. */
  abort(): Promise<void>;
}

/**
 * Opens a scored or weighted file for writing, row by row in order. The same rows give the same bytes however
 * they are cut into batches: record batches are closed by rules that see rows only (`sequence-buffer.ts`).
 * Memory is one record batch (64k tokens, or one longer row).
 * `write` throws (and then only `abort` is left to call) a fatal error that names the row and position where a value cannot be stored: an infinite loss,
 * a loss beyond fp16, columns that disagree on which tokens have a loss, a weight that is NaN or negative.
 */
export async function createSequenceWriter(
  storage: Storage,
  path: string,
  options: SequenceWriterOptions,
): Promise<SequenceWriter> {
  const columns = inFileOrder(options.columns);
  const schema = sequenceSchema(columns, options.lossPrecision, options.metadata);
  const file = await createArrowFile(storage, path, schema, options.compression);
  const buffer = createSequenceBuffer(columns, path);
  const statistics = createStatistics(columns, options.histograms);

  const flush = async () => {
    const rows = buffer.take();
    checkTokenValues(rows, path);
    const { data, stored } = encode(rows, columns, options.lossPrecision, path);
    statistics.add(stored);
    await file.append(rows.sequenceIds.length, data);
  };

  return {
    async write(batch) {
      for (let row = buffer.append(batch, 0); row < rowsOf(batch); row = buffer.append(batch, row))
        await flush();
    },
    async finish() {
      if (!buffer.isEmpty()) await flush();
      const digest = await file.finish();
      const result = statistics.result();
      return { ...digest, rows: result.sequences, tokens: result.tokens, statistics: result };
    },
    commit: () => file.commit(),
    abort: () => file.abort(),
  };
}

/** The columns in the schema's order, and the batch as a reader will see it. */
function encode(
  batch: SequenceBatch,
  columns: readonly TokenColumn[],
  precision: LossPrecision,
  path: string,
): { data: ColumnData[]; stored: SequenceBatch } {
  const { offsets, inputIds, segments } = batch;
  const stored: Partial<Record<TokenColumn, Float32Array>> = {};
  const tokenData = columns.map((name) => {
    const values = batch.columns[name] ?? new Float32Array(inputIds.length);
    const half = precision === 'fp16' && name !== 'weight' ? halves(values, name, batch, path) : undefined;
    stored[name] = half ? fromHalf(half) : values;
    return listColumn(offsets, flatColumn(values.length, half ?? values));
  });
  const count = segments.document.length;
  const fields = [
    segments.document,
    segments.tokenStart,
    segments.tokenCount,
    segments.byteStart,
    segments.byteEnd,
  ];
  const data = [
    flatColumn(batch.sequenceIds.length, batch.sequenceIds),
    listColumn(offsets, flatColumn(inputIds.length, inputIds)),
    ...tokenData,
    listColumn(
      segments.offsets,
      structColumn(
        count,
        fields.map((values) => flatColumn(count, values)),
      ),
    ),
  ];
  return { data, stored: { ...batch, columns: stored } };
}

function halves(values: Float32Array, name: TokenColumn, batch: SequenceBatch, path: string): Uint16Array {
  const half = new Uint16Array(values.length);
  const token = toHalf(values, half);
  if (token < 0) return half;
  throw fatalError(
    'fp16-overflow',
    `${path}: ${whereIs(batch, token)}: ${name} is ${values[token]}, beyond the 65504 that fp16 holds; write losses as fp32`,
  );
}
