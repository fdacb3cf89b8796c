import type { ColumnChunk, FileMetaData, SchemaElement } from 'hyparquet';
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js';
import { writePageHeader } from 'hyparquet-writer/src/datapage.js';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { type BodyCodec, codecFor } from '../dataset/codecs.js';
import { type ColumnBuffer, columnBuffer } from './column-buffer.js';
import type { OutputFile } from './format.js';
import { growableInt32 } from './growable.js';
import { bytesOf } from './ids.js';

/**
 * Parquet row groups from typed arrays. Headers and the footer are encoded by hyparquet-writer; the pages' bytes are
 * the arrays themselves, because its own encoder goes value by value (54 MB a CPU second, 14 for lists). One data
 * page (version 2) a column chunk: PLAIN, or a dictionary and runs where values repeat in runs. NaN becomes null.
 */
export type ParquetColumn =
  | { readonly kind: 'int32' | 'int64' | 'float'; readonly name: string }
  /** One string a row group. */
  | { readonly kind: 'constant'; readonly name: string }
  /** Whole numbers that stay the same for many rows. */
  | { readonly kind: 'runs'; readonly name: string; readonly item: 'int32' | 'int64' }
  | { readonly kind: 'list'; readonly name: string; readonly item: 'int32' | 'int64' | 'float' };

/** Values of a row group. Lists have offsets [rows + 1] from 0. */
export type ParquetValues =
  | Int32Array
  | BigInt64Array
  | Float32Array
  | string
  | ParquetRuns
  | { readonly offsets: Int32Array; readonly items: Int32Array | BigInt64Array | Float32Array };

/** Value i stands in `counts[i]` rows. */
export interface ParquetRuns {
  readonly values: Int32Array | BigInt64Array;
  readonly counts: Int32Array;
}

const PHYSICAL = { int32: 'INT32', int64: 'INT64', float: 'FLOAT' } as const;
const DICTIONARY = ['PLAIN', 'RLE_DICTIONARY'] as const;

const physicalOf = (column: ParquetColumn) =>
  column.kind === 'constant' ? 'BYTE_ARRAY' : PHYSICAL['item' in column ? column.item : column.kind];
const encodingsOf = ({ kind }: ParquetColumn): ('PLAIN' | 'RLE' | 'RLE_DICTIONARY')[] =>
  kind === 'constant' || kind === 'runs' ? [...DICTIONARY] : ['PLAIN', 'RLE'];

export interface ParquetFile {
  /** Writes one row group. */
  group(rows: number, values: readonly ParquetValues[]): Promise<void>;
  finish(): Promise<void>;
}

export async function createParquetFile(
  file: OutputFile,
  columns: readonly ParquetColumn[],
  compression: 'none' | 'zstd',
): Promise<ParquetFile> {
  const codec = await codecFor(compression);
  const scratch = columnBuffer<Float32Array>((length) => new Float32Array(length));
  const groups: FileMetaData['row_groups'] = [];
  await file.write(Buffer.from('PAR1'));
  return {
    async group(rows, values) {
      const chunks: ColumnChunk[] = [];
      const before = file.bytes;
      let uncompressed = 0;
      for (const [i, column] of columns.entries()) {
        const pages = encodeColumn(values[i] ?? '', rows, codec, scratch);
        const at = file.bytes;
        for (const bytes of pages.bytes) await file.write(bytes);
        uncompressed += pages.uncompressed;
        chunks.push({
          file_offset: BigInt(at),
          meta_data: {
            type: physicalOf(column),
            encodings: encodingsOf(column),
            path_in_schema: column.kind === 'list' ? [column.name, 'list', 'element'] : [column.name],
            codec: codec === undefined ? 'UNCOMPRESSED' : 'ZSTD',
            num_values: BigInt(pages.values),
            total_uncompressed_size: BigInt(pages.uncompressed),
            total_compressed_size: BigInt(file.bytes - at),
            data_page_offset: BigInt(at + pages.dictionaryBytes),
            ...(pages.dictionaryBytes > 0 && { dictionary_page_offset: BigInt(at) }),
          },
        });
      }
      groups.push({
        columns: chunks,
        total_byte_size: BigInt(uncompressed),
        num_rows: BigInt(rows),
        total_compressed_size: BigInt(file.bytes - before),
      });
    },
    async finish() {
      const writer = new ByteWriter();
      const metadata = {
        version: 2,
        created_by: 'tokensieve',
        schema: schemaOf(columns),
        num_rows: groups.reduce((sum, group) => sum + group.num_rows, 0n),
        row_groups: groups,
        metadata_length: 0,
      };
      writeMetadata(writer, metadata);
      await file.write(writer.getBytes());
      await file.write(Buffer.from('PAR1'));
    },
  };
}

function schemaOf(columns: readonly ParquetColumn[]): SchemaElement[] {
  const elements: SchemaElement[] = [{ name: 'schema', num_children: columns.length }];
  for (const column of columns) {
    const { name } = column;
    if (column.kind === 'constant') {
      elements.push({ name, type: 'BYTE_ARRAY', repetition_type: 'REQUIRED', converted_type: 'UTF8' });
    } else if (column.kind === 'list') {
      elements.push(
        { name, repetition_type: 'REQUIRED', converted_type: 'LIST', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type: PHYSICAL[column.item], repetition_type: repetition(column.item) },
      );
    } else {
      const kind = column.kind === 'runs' ? column.item : column.kind;
      elements.push({ name, type: PHYSICAL[kind], repetition_type: repetition(kind) });
    }
  }
  return elements;
}

/** Floats may be missing, integers not. */
const repetition = (kind: 'int32' | 'int64' | 'float') => (kind === 'float' ? 'OPTIONAL' : 'REQUIRED');

interface Pages {
  readonly bytes: readonly Uint8Array[];
  readonly dictionaryBytes: number;
  /** Bytes of all of it, headers included, were nothing compressed. */
  readonly uncompressed: number;
  /** Values, nulls and empty lists included. */
  readonly values: number;
}

/** @param scratch memory for the values of a column without its nulls */
function encodeColumn(
  values: ParquetValues,
  rows: number,
  codec: BodyCodec | undefined,
  scratch: ColumnBuffer<Float32Array>,
): Pages {
  if (typeof values === 'string') {
    const string = Buffer.from(values, 'utf8');
    const entry = Buffer.concat([bytesOf(Int32Array.of(string.length)), string]);
    return dictionaryPages({ entries: 1, bytes: entry }, Int32Array.of(0), Int32Array.of(rows), rows, codec);
  }
  if ('counts' in values) return runPages(values, rows, codec);
  const isList = 'offsets' in values;
  const items = isList ? values.items : values;
  const isOptional = items instanceof Float32Array;
  const runs = isOptional ? presentRuns(items) : Int32Array.of(0, items.length);
  const present = isOptional ? gathered(items, runs, scratch) : items;
  const levels = new ByteWriter();
  const list = isList ? values.offsets : null;
  if (list !== null) repetitionLevels(levels, list);
  const repetitionBytes = levels.offset;
  // The level of a present value: one for the list, one for an optional item.
  const full = (isList ? 1 : 0) + (isOptional ? 1 : 0);
  if (full > 0) definitionLevels(levels, items.length, runs, list, full);
  const empty = list === null ? 0 : emptyLists(list);
  const body = bytesOf(present);
  const { stored, compressed } = store(body, codec);
  const count = items.length + empty;
  const header = new ByteWriter();
  writePageHeader(header, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: levels.offset + body.length,
    compressed_page_size: levels.offset + stored.length,
    data_page_header_v2: {
      num_values: count,
      num_nulls: items.length - present.length + empty,
      num_rows: rows,
      encoding: 'PLAIN',
      definition_levels_byte_length: levels.offset - repetitionBytes,
      repetition_levels_byte_length: repetitionBytes,
      is_compressed: compressed,
    },
  });
  return {
    bytes: [header.getBytes(), levels.getBytes(), stored],
    dictionaryBytes: 0,
    uncompressed: header.offset + levels.offset + body.length,
    values: count,
  };
}

/** A dictionary of the distinct values, in the order in which they come, and their runs. */
function runPages({ values, counts }: ParquetRuns, rows: number, codec: BodyCodec | undefined): Pages {
  const places = new Map<number | bigint, number>();
  const indices = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    let place = places.get(value);
    if (place === undefined) {
      place = places.size;
      places.set(value, place);
    }
    indices[i] = place;
  }
  const entries =
    values instanceof BigInt64Array
      ? BigInt64Array.from(places.keys() as Iterable<bigint>)
      : Int32Array.from(places.keys() as Iterable<number>);
  return dictionaryPages({ entries: entries.length, bytes: bytesOf(entries) }, indices, counts, rows, codec);
}

/** A dictionary, and a page of runs of its entries. */
function dictionaryPages(
  dictionary: { readonly entries: number; readonly bytes: Uint8Array },
  indices: Int32Array,
  counts: Int32Array,
  rows: number,
  codec: BodyCodec | undefined,
): Pages {
  const bits = Math.max(1, 32 - Math.clz32(dictionary.entries - 1));
  const runs = new ByteWriter();
  runs.appendUint8(bits);
  for (let i = 0; i < indices.length; i++) writeRun(runs, indices[i] ?? 0, counts[i] ?? 0, bits);
  const [entries, body] = [store(dictionary.bytes, codec), store(runs.getBytes(), codec)];
  const first = new ByteWriter();
  writePageHeader(first, {
    type: 'DICTIONARY_PAGE',
    uncompressed_page_size: entries.body.length,
    compressed_page_size: entries.stored.length,
    dictionary_page_header: { num_values: dictionary.entries, encoding: 'PLAIN' },
  });
  const second = new ByteWriter();
  writePageHeader(second, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: body.body.length,
    compressed_page_size: body.stored.length,
    data_page_header_v2: {
      num_values: rows,
      num_nulls: 0,
      num_rows: rows,
      encoding: 'RLE_DICTIONARY',
      definition_levels_byte_length: 0,
      repetition_levels_byte_length: 0,
      is_compressed: body.compressed,
    },
  });
  return {
    bytes: [first.getBytes(), entries.stored, second.getBytes(), body.stored],
    dictionaryBytes: first.offset + entries.stored.length,
    uncompressed: first.offset + entries.body.length + second.offset + body.body.length,
    values: rows,
  };
}

/** A page of no bytes is stored as it is. */
function store(body: Uint8Array, codec: BodyCodec | undefined) {
  const compressed = codec !== undefined && body.length > 0;
  return { body, stored: compressed ? codec.encode(body) : body, compressed };
}

/** [2 × runs] Where runs of values that are no NaN start and end. */
function presentRuns(values: Float32Array): Int32Array {
  const runs = growableInt32();
  const count = values.length;
  for (let i = 0; i < count; ) {
    while (i < count && Number.isNaN(values[i])) i++;
    if (i === count) break;
    runs.push(i);
    while (i < count && !Number.isNaN(values[i])) i++;
    runs.push(i);
  }
  return runs.view();
}

/** The values of the runs one after another: themselves, where nothing is left out. */
function gathered(values: Float32Array, runs: Int32Array, scratch: ColumnBuffer<Float32Array>): Float32Array {
  if (runs[0] === 0 && runs[1] === values.length) return values;
  scratch.clear();
  for (let i = 0; i < runs.length; i += 2) scratch.append(values.subarray(runs[i], runs[i + 1]));
  return scratch.view();
}

/** Runs of one level or index, in the RLE half of the hybrid encoding. */
function writeRun(to: ByteWriter, value: number, count: number, bits = 1): void {
  if (count === 0) return;
  to.appendVarInt(count << 1);
  for (let shift = 0; shift < bits; shift += 8) to.appendUint8((value >>> shift) & 0xff);
}

/** 0 at a row's first value (or its place, where it has none), 1 at the others. */
function repetitionLevels(to: ByteWriter, offsets: Int32Array): void {
  for (let row = 0; row < offsets.length - 1; row++) {
    const count = (offsets[row + 1] ?? 0) - (offsets[row] ?? 0);
    writeRun(to, 0, 1);
    writeRun(to, 1, Math.max(0, count - 1));
  }
}

const emptyLists = (offsets: Int32Array): number => {
  let empty = 0;
  for (let row = 0; row < offsets.length - 1; row++) if (offsets[row] === offsets[row + 1]) empty++;
  return empty;
};

/** `full` where there is a value, one less where it is null, 0 where a list is empty. */
function definitionLevels(
  to: ByteWriter,
  count: number,
  runs: Int32Array,
  offsets: Int32Array | null,
  full: number,
): void {
  let [level, open] = [full, 0];
  const add = (next: number, more: number): void => {
    if (more === 0) return;
    if (next !== level) {
      writeRun(to, level, open);
      [level, open] = [next, 0];
    }
    open += more;
  };
  let run = 0;
  const addItems = (start: number, end: number): void => {
    for (let from = start; from < end; ) {
      while (run < runs.length && (runs[run + 1] ?? 0) <= from) run += 2;
      const first = Math.min(end, runs[run] ?? end);
      if (from < first) {
        add(full - 1, first - from);
        from = first;
      } else {
        const last = Math.min(end, runs[run + 1] ?? end);
        add(full, last - from);
        from = last;
      }
    }
  };
  if (offsets === null) addItems(0, count);
  else {
    for (let row = 0; row < offsets.length - 1; row++) {
      const [start, end] = [offsets[row] ?? 0, offsets[row + 1] ?? 0];
      if (start === end) add(0, 1);
      else addItems(start, end);
    }
  }
  writeRun(to, level, open);
}
