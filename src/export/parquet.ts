import type { PartPlace } from '../dataset/part-files.js';
import { columnBuffer } from './column-buffer.js';
import type { ExportContext, ExportFormat } from './format.js';
import { shardName } from './ids.js';
import {
  createParquetFile,
  type ParquetColumn,
  type ParquetRuns,
  type ParquetValues,
} from './parquet-file.js';
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
  semantics: 2,
  settings: ['rows', 'compression'],
  cut: 'rows',
  bitsOnly: () => null,
  bytesPerToken: ({ rows }, source) => (rows === 'token' ? 4 : 0) + 8 + 4 * source.losses.length,
  async open(shard) {
    const { settings, index, shards, create } = shard;
    const table = settings.rows === 'token' ? tokenTable(shard) : sequenceTable(shard);
    const file = await createParquetFile(
      await create(shardName('data/tokens', index, shards, '.parquet')),
      table.columns,
      settings.compression,
    );
    let open: PartPlace | null = null;
    let tokens = 0;
    const flush = async (): Promise<void> => {
      if (open === null) return;
      const { rows, values } = table.gathered(open);
      if (rows > 0) await file.group(rows, values);
      table.clear();
      open = null;
      tokens = 0;
    };
    return {
      async write(rows) {
        const { place } = rows;
        if (open !== null && (open.shard !== place.shard || open.part !== place.part)) await flush();
        open = place;
        table.add(rows);
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

/** Rows of one part, gathered for a row group. */
interface Table {
  readonly columns: readonly ParquetColumn[];
  add(rows: ExportRows): void;
  /** The row group's values, in the order of the columns: valid until `clear`. */
  gathered(place: PartPlace): { readonly rows: number; readonly values: readonly ParquetValues[] };
  clear(): void;
}

const int32s = () => columnBuffer<Int32Array>((length) => new Int32Array(length));
const int64s = () => columnBuffer<BigInt64Array>((length) => new BigInt64Array(length));
const floats = () => columnBuffer<Float32Array>((length) => new Float32Array(length));

function tokenTable({ source: { losses } }: ExportContext): Table {
  const sequence = runs();
  const document = runs();
  const position = int32s();
  const token = int32s();
  const weight = floats();
  const values = losses.map(floats);
  /** 0, 1, 2 and so on: positions are a part of it. */
  let places = new Int32Array(0);
  return {
    columns: [
      { kind: 'constant', name: 'shard' },
      { kind: 'runs', name: 'part', item: 'int32' },
      { kind: 'runs', name: 'sequence', item: 'int64' },
      { kind: 'int32', name: 'position' },
      { kind: 'runs', name: 'document', item: 'int64' },
      { kind: 'int32', name: 'token' },
      ...losses.map((name) => ({ kind: 'float', name }) as const),
      { kind: 'float', name: 'weight' },
    ],
    add(rows) {
      const { offsets, repeats, segments } = rows;
      for (let row = 0; row < rowCount(rows); row++) {
        const start = offsets[row] ?? 0;
        const skip = repeats[row] ?? 0;
        const [from, end] = [start + skip, offsets[row + 1] ?? 0];
        if (end - start > places.length) places = Int32Array.from({ length: end - start }, (_, i) => i);
        sequence.add(BigInt(rows.firstRow + row), end - from);
        position.append(places.subarray(skip, end - start));
        token.append(rows.inputIds.subarray(from, end));
        weight.append(rows.weights.subarray(from, end));
        for (const [i, name] of losses.entries()) {
          const column = rows.columns[name];
          if (column !== undefined) values[i]?.append(column.subarray(from, end));
        }
        const last = segments.offsets[row + 1] ?? 0;
        for (let s = segments.offsets[row] ?? 0; s < last; s++) {
          const tokenStart = segments.tokenStart[s] ?? 0;
          const tokenEnd = tokenStart + (segments.tokenCount[s] ?? 0);
          document.add(segments.document[s] ?? 0n, tokenEnd - Math.max(skip, tokenStart));
        }
      }
    },
    gathered({ shard, part }) {
      const rows = token.view().length;
      const parts = { values: Int32Array.of(part), counts: Int32Array.of(rows) };
      return {
        rows,
        values: [
          shard,
          parts,
          sequence.view(),
          position.view(),
          document.view(),
          token.view(),
          ...values.map((column) => column.view()),
          weight.view(),
        ],
      };
    },
    clear() {
      for (const buffer of [sequence, document, position, token, weight, ...values]) buffer.clear();
    },
  };
}

/** Values with how often each comes in a row. */
function runs() {
  const values = int64s();
  const counts = int32s();
  return {
    add(value: bigint, count: number): void {
      if (count <= 0) return;
      const last = counts.view();
      if (last.length > 0 && values.view()[last.length - 1] === value) {
        last[last.length - 1] = (last[last.length - 1] ?? 0) + count;
        return;
      }
      values.extend(1)[0] = value;
      counts.extend(1)[0] = count;
    },
    view: (): ParquetRuns => ({ values: values.view(), counts: counts.view() }),
    clear() {
      values.clear();
      counts.clear();
    },
  };
}

function sequenceTable({ source: { losses } }: ExportContext): Table {
  const sequence = int64s();
  const offsets = listOffsets();
  const segmentOffsets = listOffsets();
  const ids = int32s();
  const weight = floats();
  const values = losses.map(floats);
  const document = int64s();
  const tokens = int32s();
  return {
    columns: [
      { kind: 'constant', name: 'shard' },
      { kind: 'runs', name: 'part', item: 'int32' },
      { kind: 'int64', name: 'sequence' },
      { kind: 'list', name: 'input_ids', item: 'int32' },
      ...losses.map((name) => ({ kind: 'list', name, item: 'float' }) as const),
      { kind: 'list', name: 'weight', item: 'float' },
      { kind: 'list', name: 'segment_document', item: 'int64' },
      { kind: 'list', name: 'segment_tokens', item: 'int32' },
    ],
    add(rows) {
      const ends = sequence.extend(rowCount(rows));
      for (let row = 0; row < ends.length; row++) ends[row] = BigInt(rows.firstRow + row);
      offsets.add(rows.offsets);
      segmentOffsets.add(rows.segments.offsets);
      ids.append(rows.inputIds);
      weight.append(rows.weights);
      for (const [i, name] of losses.entries()) {
        const column = rows.columns[name];
        if (column !== undefined) values[i]?.append(column);
      }
      document.append(rows.segments.document);
      tokens.append(rows.segments.tokenCount);
    },
    gathered({ shard, part }) {
      const rows = sequence.view().length;
      const list = (items: Int32Array | Float32Array) => ({ offsets: offsets.view(), items });
      return {
        rows,
        values: [
          shard,
          { values: Int32Array.of(part), counts: Int32Array.of(rows) },
          sequence.view(),
          list(ids.view()),
          ...values.map((column) => list(column.view())),
          list(weight.view()),
          { offsets: segmentOffsets.view(), items: document.view() },
          { offsets: segmentOffsets.view(), items: tokens.view() },
        ],
      };
    },
    clear() {
      const buffers = [sequence, offsets, segmentOffsets, ids, weight, ...values, document, tokens];
      for (const buffer of buffers) buffer.clear();
    },
  };
}

/** Offsets of lists, one batch after another. */
function listOffsets() {
  const joined = int32s();
  joined.extend(1)[0] = 0;
  return {
    add(offsets: Int32Array): void {
      const base = joined.view().at(-1) ?? 0;
      const added = joined.extend(offsets.length - 1);
      for (let i = 0; i < added.length; i++) added[i] = base + (offsets[i + 1] ?? 0);
    },
    view: () => joined.view(),
    clear() {
      joined.clear();
      joined.extend(1)[0] = 0;
    },
  };
}
