import type { ColumnChunk, FileMetaData, SchemaElement } from 'hyparquet';
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js';
import { writePageHeader } from 'hyparquet-writer/src/datapage.js';
import { writeMetadata } from 'hyparquet-writer/src/metadata.js';
import { type BodyCodec, codecFor } from '../dataset/codecs.js';
import type { OutputFile } from './format.js';
import { bytesOf } from './ids.js';

/**
 * Parquet row groups from typed arrays. Headers and the footer are encoded by hyparquet-writer; the pages' bytes are
 * the arrays themselves, because its own encoder goes value by value (54 MB a CPU second, 14 for lists). One data
 * page (version 2) a column chunk, PLAIN; values that are NaN become nulls.
 */
export type ParquetColumn =
  | { readonly kind: 'int32' | 'int64' | 'float'; readonly name: string }
  /** One string a row group. */
  | { readonly kind: 'constant'; readonly name: string }
  | { readonly kind: 'list'; readonly name: string; readonly item: 'int32' | 'int64' | 'float' };

/** Values of a row group. Lists have offsets [rows + 1] from 0. */
export type ParquetValues =
  | Int32Array
  | BigInt64Array
  | Float32Array
  | string
  | { readonly offsets: Int32Array; readonly items: Int32Array | BigInt64Array | Float32Array };

const PHYSICAL = { int32: 'INT32', int64: 'INT64', float: 'FLOAT' } as const;

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
  const groups: FileMetaData['row_groups'] = [];
  await file.write(Buffer.from('PAR1'));
  return {
    async group(rows, values) {
      const chunks: ColumnChunk[] = [];
      const before = file.bytes;
      let uncompressed = 0;
      for (const [i, column] of columns.entries()) {
        const pages = encodeColumn(values[i] ?? '', rows, codec);
        const at = file.bytes;
        for (const bytes of pages.bytes) await file.write(bytes);
        uncompressed += pages.uncompressed;
        chunks.push({
          file_offset: BigInt(at),
          meta_data: {
            type:
              column.kind === 'constant'
                ? 'BYTE_ARRAY'
                : PHYSICAL[column.kind === 'list' ? column.item : column.kind],
            encodings: column.kind === 'constant' ? ['PLAIN', 'RLE_DICTIONARY'] : ['PLAIN', 'RLE'],
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
      elements.push({ name, type: PHYSICAL[column.kind], repetition_type: repetition(column.kind) });
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

function encodeColumn(values: ParquetValues, rows: number, codec: BodyCodec | undefined): Pages {
  if (typeof values === 'string') return constantPages(values, rows, codec);
  const isList = 'offsets' in values;
  const items = isList ? values.items : values;
  const present = items instanceof Float32Array ? withoutNaN(items) : null;
  const levels = new ByteWriter();
  const list = isList ? values.offsets : null;
  if (list !== null) repetitionLevels(levels, list);
  const repetitionBytes = levels.offset;
  // The level of a present value: one for the list, one for an optional item.
  const full = (isList ? 1 : 0) + (items instanceof Float32Array ? 1 : 0);
  if (full > 0) definitionLevels(levels, items, list, full);
  const empty = list === null ? 0 : emptyLists(list);
  const nulls = items.length - (present?.length ?? items.length) + empty;
  const body = bytesOf(present ?? items);
  const { stored, compressed } = store(body, codec);
  const count = items.length + empty;
  const header = new ByteWriter();
  writePageHeader(header, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: levels.offset + body.length,
    compressed_page_size: levels.offset + stored.length,
    data_page_header_v2: {
      num_values: count,
      num_nulls: nulls,
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

/** A dictionary of one string, and one run of it. */
function constantPages(text: string, rows: number, codec: BodyCodec | undefined): Pages {
  const string = Buffer.from(text, 'utf8');
  const entry = Buffer.concat([bytesOf(Int32Array.of(string.length)), string]);
  const run = new ByteWriter();
  run.appendUint8(1);
  run.appendVarInt(rows << 1);
  run.appendUint8(0);
  const [dictionary, indices] = [store(entry, codec), store(run.getBytes(), codec)];
  const first = new ByteWriter();
  writePageHeader(first, {
    type: 'DICTIONARY_PAGE',
    uncompressed_page_size: dictionary.body.length,
    compressed_page_size: dictionary.stored.length,
    dictionary_page_header: { num_values: 1, encoding: 'PLAIN' },
  });
  const second = new ByteWriter();
  writePageHeader(second, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: indices.body.length,
    compressed_page_size: indices.stored.length,
    data_page_header_v2: {
      num_values: rows,
      num_nulls: 0,
      num_rows: rows,
      encoding: 'RLE_DICTIONARY',
      definition_levels_byte_length: 0,
      repetition_levels_byte_length: 0,
      is_compressed: indices.compressed,
    },
  });
  return {
    bytes: [first.getBytes(), dictionary.stored, second.getBytes(), indices.stored],
    dictionaryBytes: first.offset + dictionary.stored.length,
    uncompressed: first.offset + dictionary.body.length + second.offset + indices.body.length,
    values: rows,
  };
}

/** A page of no bytes is stored as it is. */
function store(body: Uint8Array, codec: BodyCodec | undefined) {
  const compressed = codec !== undefined && body.length > 0;
  return { body, stored: compressed ? codec.encode(body) : body, compressed };
}

function withoutNaN(values: Float32Array): Float32Array {
  let missing = 0;
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) missing++;
  if (missing === 0) return values;
  const present = new Float32Array(values.length - missing);
  let filled = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isNaN(value)) present[filled++] = value;
  }
  return present;
}

/** Runs of one level, in the RLE half of the hybrid encoding; levels fit a byte. */
function writeRun(to: ByteWriter, level: number, count: number): void {
  if (count === 0) return;
  to.appendVarInt(count << 1);
  to.appendUint8(level);
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
  items: Int32Array | BigInt64Array | Float32Array,
  offsets: Int32Array | null,
  full: number,
): void {
  let [level, run] = [full, 0];
  const add = (next: number, count: number): void => {
    if (next !== level) {
      writeRun(to, level, run);
      [level, run] = [next, 0];
    }
    run += count;
  };
  const addItems = (start: number, end: number): void => {
    let from = start;
    if (!(items instanceof Float32Array)) {
      add(full, end - start);
      from = end;
    }
    while (from < end) {
      const isNull = Number.isNaN(items[from]);
      let to = from + 1;
      while (to < end && Number.isNaN(items[to]) === isNull) to++;
      add(isNull ? full - 1 : full, to - from);
      from = to;
    }
  };
  if (offsets === null) addItems(0, items.length);
  else {
    for (let row = 0; row < offsets.length - 1; row++) {
      const [start, end] = [offsets[row] ?? 0, offsets[row + 1] ?? 0];
      if (start === end) add(0, 1);
      else addItems(start, end);
    }
  }
  writeRun(to, level, run);
}
