import type { PartPlace } from '../dataset/part-files.js';
import type { ExportContext, ExportFormat } from './format.js';
import { shardName } from './ids.js';
import { createParquetFile, type ParquetColumn, type ParquetValues } from './parquet-file.js';
import { type ExportRows, rowCount } from './rows.js';

/** Tokens gathered for a row group: some 20 MB of columns. */
const GROUP_TOKENS = 1 << 19;

/**
 * Tables for DuckDB, pandas and Polars. `--rows token`: every token of the corpus once, with its place (shard, part,
 * sequence, position) and document. `--rows sequence`: rows as they are, with lists. NaN is null here, so that
 * averages need no filter.
 */
export const parquet: ExportFormat = {
  name: 'parquet',
  summary: 'a table with a row a token or a row a sequence (--rows), for DuckDB, pandas, Polars',
  semantics: 1,
  settings: ['rows', 'compression'],
  cut: 'rows',
  bitsOnly: () => null,
  bytesPerToken: ({ rows }, source) => (rows === 'token' ? 20 : 0) + 8 + 4 * source.losses.length,
  async open(shard) {
    const { settings, index, shards, create } = shard;
    const table = settings.rows === 'token' ? tokenTable(shard) : sequenceTable(shard);
    const file = await createParquetFile(
      await create(shardName('data/tokens', index, shards, '.parquet')),
      table.columns,
      settings.compression,
    );
    let open: ExportRows[] = [];
    let tokens = 0;
    const flush = async (): Promise<void> => {
      const [first] = open;
      if (first === undefined) return;
      const { rows, values } = table.gather(first.place, open);
      if (rows > 0) await file.group(rows, values);
      open = [];
      tokens = 0;
    };
    return {
      async write(rows) {
        const [first] = open;
        const { shard: name, part } = rows.place;
        if (first !== undefined && (first.place.shard !== name || first.place.part !== part)) await flush();
        open.push(rows);
        tokens += rows.inputIds.length;
        if (tokens >= GROUP_TOKENS) await flush();
      },
      async finish() {
        await flush();
        await file.finish();
      },
    };
  },
  describe: () => ({}),
};

interface Table {
  readonly columns: readonly ParquetColumn[];
  /** A row group's values, in the order of the columns. */
  gather(
    place: PartPlace,
    batches: readonly ExportRows[],
  ): { readonly rows: number; readonly values: readonly ParquetValues[] };
}

function tokenTable({ source: { losses } }: ExportContext): Table {
  return {
    columns: [
      { kind: 'constant', name: 'shard' },
      { kind: 'int32', name: 'part' },
      { kind: 'int64', name: 'sequence' },
      { kind: 'int32', name: 'position' },
      { kind: 'int64', name: 'document' },
      { kind: 'int32', name: 'token' },
      ...losses.map((name) => ({ kind: 'float', name }) as const),
      { kind: 'float', name: 'weight' },
    ],
    gather({ shard, part }, batches) {
      const rows = batches.reduce((sum, batch) => sum + freshTokens(batch), 0);
      const sequence = new BigInt64Array(rows);
      const position = new Int32Array(rows);
      const document = new BigInt64Array(rows);
      const token = new Int32Array(rows);
      const weight = new Float32Array(rows);
      const values = losses.map(() => new Float32Array(rows));
      let filled = 0;
      for (const batch of batches) {
        for (let row = 0; row < rowCount(batch); row++) {
          const start = batch.offsets[row] ?? 0;
          const from = start + (batch.repeats[row] ?? 0);
          const end = batch.offsets[row + 1] ?? 0;
          const [at, last] = [filled, filled + end - from];
          sequence.fill(BigInt(batch.firstRow + row), at, last);
          for (let i = at; i < last; i++) position[i] = from - start + i - at;
          token.set(batch.inputIds.subarray(from, end), at);
          weight.set(batch.weights.subarray(from, end), at);
          for (const [i, name] of losses.entries()) {
            const column = batch.columns[name];
            if (column !== undefined) values[i]?.set(column.subarray(from, end), at);
          }
          fillDocuments(batch, row, from - start, document.subarray(at, last));
          filled = last;
        }
      }
      const parts = new Int32Array(rows).fill(part);
      return { rows, values: [shard, parts, sequence, position, document, token, ...values, weight] };
    },
  };
}

const freshTokens = ({ inputIds, repeats }: ExportRows): number =>
  inputIds.length - repeats.reduce((sum, count) => sum + count, 0);

/** The document of each of a row's tokens but the first `skip`. */
function fillDocuments({ segments }: ExportRows, row: number, skip: number, documents: BigInt64Array): void {
  const last = segments.offsets[row + 1] ?? 0;
  for (let s = segments.offsets[row] ?? 0; s < last; s++) {
    const start = segments.tokenStart[s] ?? 0;
    const end = start + (segments.tokenCount[s] ?? 0);
    if (end > skip) documents.fill(segments.document[s] ?? 0n, Math.max(0, start - skip), end - skip);
  }
}

function sequenceTable({ source: { losses } }: ExportContext): Table {
  return {
    columns: [
      { kind: 'constant', name: 'shard' },
      { kind: 'int32', name: 'part' },
      { kind: 'int64', name: 'sequence' },
      { kind: 'list', name: 'input_ids', item: 'int32' },
      ...losses.map((name) => ({ kind: 'list', name, item: 'float' }) as const),
      { kind: 'list', name: 'weight', item: 'float' },
      { kind: 'list', name: 'segment_document', item: 'int64' },
      { kind: 'list', name: 'segment_tokens', item: 'int32' },
    ],
    gather({ shard, part }, batches) {
      const rows = batches.reduce((sum, batch) => sum + rowCount(batch), 0);
      const sequence = new BigInt64Array(rows);
      let row = 0;
      for (const batch of batches)
        for (let i = 0; i < rowCount(batch); i++) sequence[row++] = BigInt(batch.firstRow + i);
      const offsets = joinOffsets(batches.map((batch) => batch.offsets));
      const floats = (of: (batch: ExportRows) => Float32Array | undefined) => ({
        offsets,
        items: join(
          new Float32Array(offsets.at(-1) ?? 0),
          batches.map((batch) => of(batch) ?? new Float32Array(0)),
        ),
      });
      const segments = joinOffsets(batches.map((batch) => batch.segments.offsets));
      const count = segments.at(-1) ?? 0;
      return {
        rows,
        values: [
          shard,
          new Int32Array(rows).fill(part),
          sequence,
          {
            offsets,
            items: join(
              new Int32Array(offsets.at(-1) ?? 0),
              batches.map((batch) => batch.inputIds),
            ),
          },
          ...losses.map((name) => floats((batch) => batch.columns[name])),
          floats((batch) => batch.weights),
          {
            offsets: segments,
            items: join(
              new BigInt64Array(count),
              batches.map((batch) => batch.segments.document),
            ),
          },
          {
            offsets: segments,
            items: join(
              new Int32Array(count),
              batches.map((batch) => batch.segments.tokenCount),
            ),
          },
        ],
      };
    },
  };
}

/** Offsets of lists one batch after another. */
function joinOffsets(parts: readonly Int32Array[]): Int32Array {
  const joined = new Int32Array(1 + parts.reduce((sum, part) => sum + part.length - 1, 0));
  let [row, base] = [1, 0];
  for (const part of parts) {
    for (let i = 1; i < part.length; i++) joined[row++] = base + (part[i] ?? 0);
    base += part.at(-1) ?? 0;
  }
  return joined;
}

function join<T extends Int32Array | Float32Array | BigInt64Array>(into: T, parts: readonly T[]): T {
  let at = 0;
  for (const part of parts) {
    into.set(part as never, at);
    at += part.length;
  }
  return into;
}
