/**
 * One page's levels and values. Sizes and counts come from the page header, so each is checked against the bytes
 * that are there before anything is allocated or read: a broken page throws, and never runs on into the next.
 */

import type { ParquetType } from 'hyparquet';
import { byteStreamSplit } from 'hyparquet/src/encoding.js';
import { readPlain } from 'hyparquet/src/plain.js';
import { decompress } from './parquet-codec.js';
import { decodeDeltaIntegers, decodeDeltaLengths, decodeDeltaStrings } from './parquet-delta.js';
import type { PageHeader, RawPage } from './parquet-pages.js';
import { bitWidth, decodeBigEndianBits, decodeHybrid } from './parquet-rle.js';
import type { LeafType } from './parquet-schema.js';

/** Most values (nulls included) in one page; a run of nulls costs no bytes, so bytes alone do not bound them. */
export const MAX_PAGE_VALUES = 2 ** 24;

export interface LeafColumn {
  readonly type: LeafType;
  /** Definition level of a present value, and repetition level; 0 where the column has none. */
  readonly definition: number;
  readonly repetition: number;
  /** Most bytes of a page, uncompressed: `pageLimit`. */
  readonly maxPageBytes: number;
}

/** From a column's physical values to what its reader wants; throws where a value does not fit. */
export type Convert<T> = (physical: unknown) => T;

export interface DecodedPage<T> {
  /** Values, nulls included; rows where nothing repeats. */
  readonly entries: number;
  /** [entries]; null where every value is present. */
  readonly definitions: Uint8Array | null;
  /** [entries]; null where nothing repeats. */
  readonly repetitions: Uint8Array | null;
  /** The i-th present value, converted; undefined past the last. */
  readonly value: (i: number) => T | undefined;
  /** Lets go of the page's bytes, which may be hundreds of megabytes, before the next page's come. */
  readonly release: () => void;
}

/** A dictionary page's values, converted. */
export interface Dictionary<T> {
  readonly length: number;
  at(i: number): T;
}

/** Values of a larger dictionary stay bytes until they are asked for: as strings they would take its size once or twice more. */
const EAGER_DICTIONARY_BYTES = 16 * 2 ** 20;

/** Values the page claims, nulls included; null when the header has no such count or an absurd one. */
export function claimedEntries({ data_page_header, data_page_header_v2 }: PageHeader): number | null {
  const entries: unknown = (data_page_header ?? data_page_header_v2)?.num_values;
  return typeof entries === 'number' && entries >= 0 && entries <= MAX_PAGE_VALUES ? entries : null;
}

/** A dictionary page's values. */
export function decodeDictionary<T>(
  { header, bytes, broken }: RawPage,
  codec: string,
  { type, maxPageBytes }: LeafColumn,
  convert: Convert<T>,
): Dictionary<T> {
  if (broken) throw new Error(broken);
  const page = decompress(codec, bytes, header.uncompressed_page_size, maxPageBytes);
  const count = header.dictionary_page_header?.num_values ?? -1;
  if (count < 0 || count > MAX_PAGE_VALUES) throw new Error(`dictionary of ${count} values`);
  const physical = plain(page, type, count);
  if (page.length > EAGER_DICTIONARY_BYTES) return { length: count, at: (i) => convert(physical[i]) };
  const values = Array.from({ length: count }, (_, i) => convert(physical[i]));
  return { length: count, at: (i) => values[i] as T };
}

/** A data page of either version. @throws Error when anything about it does not hold. */
export function decodePage<T>(
  { header, bytes, broken }: RawPage,
  codec: string,
  column: LeafColumn,
  dictionary: Dictionary<T> | null,
  convert: Convert<T>,
): DecodedPage<T> {
  if (broken) throw new Error(broken);
  const entries = claimedEntries(header);
  if (entries === null) throw new Error('page header without a sane number of values');
  const split =
    header.type === 'DATA_PAGE'
      ? splitV1(header, bytes, codec, column, entries)
      : splitV2(header, bytes, codec, column, entries);
  const present = split.definitions ? countPresent(split.definitions, column.definition) : entries;
  if (split.repetitions) checkLevels(split.repetitions, column.repetition);
  let value = valuesOf(split, column, present, dictionary, convert);
  return {
    entries,
    definitions: present === entries ? null : split.definitions,
    repetitions: split.repetitions,
    value: (i) => value(i),
    release: () => {
      value = () => undefined;
    },
  };
}

interface Split {
  readonly repetitions: Uint8Array | null;
  readonly definitions: Uint8Array | null;
  readonly values: Uint8Array;
  readonly encoding: string | undefined;
}

/** Version 1: levels, each with its length before it, and values, compressed together. */
function splitV1(
  header: PageHeader,
  bytes: Uint8Array,
  codec: string,
  column: LeafColumn,
  entries: number,
): Split {
  const head = header.data_page_header;
  if (!head) throw new Error('data page without its header');
  const page = decompress(codec, bytes, header.uncompressed_page_size, column.maxPageBytes);
  let at = 0;
  const levels = (max: number, encoding: string | undefined): Uint8Array | null => {
    if (max === 0) return null;
    const target = new Uint8Array(entries);
    if (encoding === 'BIT_PACKED') {
      at += decodeBigEndianBits(page.subarray(at), bitWidth(max), target);
    } else {
      const length = at + 4 <= page.length ? uint32(page, at) : Number.POSITIVE_INFINITY;
      if (length > page.length - at - 4) throw new Error(`levels of ${length} bytes run past the page`);
      decodeHybrid(page.subarray(at + 4, at + 4 + length), bitWidth(max), target);
      at += 4 + length;
    }
    return target;
  };
  const repetitions = levels(column.repetition, head.repetition_level_encoding);
  const definitions = levels(column.definition, head.definition_level_encoding);
  return { repetitions, definitions, values: page.subarray(at), encoding: head.encoding };
}

/** Version 2: levels uncompressed, their lengths in the header; values compressed, or not. */
function splitV2(
  header: PageHeader,
  bytes: Uint8Array,
  codec: string,
  column: LeafColumn,
  entries: number,
): Split {
  const head = header.data_page_header_v2;
  if (!head) throw new Error(`page of type ${header.type} where data was expected`);
  const { repetition_levels_byte_length: r, definition_levels_byte_length: d } = head;
  if (!(r >= 0 && d >= 0 && r + d <= bytes.length))
    throw new Error(`levels of ${r} + ${d} bytes run past the page`);
  const levels = (max: number, from: number, length: number): Uint8Array | null => {
    if (max === 0) return null;
    const target = new Uint8Array(entries);
    decodeHybrid(bytes.subarray(from, from + length), bitWidth(max), target);
    return target;
  };
  const stored = bytes.subarray(r + d);
  const size = header.uncompressed_page_size - r - d;
  return {
    repetitions: levels(column.repetition, 0, r),
    definitions: levels(column.definition, r, d),
    values: decompress(
      head.is_compressed === false ? 'UNCOMPRESSED' : codec,
      stored,
      size,
      column.maxPageBytes,
    ),
    encoding: head.encoding,
  };
}

function countPresent(definitions: Uint8Array, max: number): number {
  let present = 0;
  for (let i = 0; i < definitions.length; i++) {
    const level = definitions[i] ?? 0;
    if (level === max) present++;
    else if (level > max) throw new Error(`definition level ${level}, at most ${max}`);
  }
  return present;
}

function checkLevels(levels: Uint8Array, max: number): void {
  for (let i = 0; i < levels.length; i++) {
    if ((levels[i] ?? 0) > max) throw new Error(`repetition level ${levels[i]}, at most ${max}`);
  }
}

function valuesOf<T>(
  { encoding, values: bytes }: Split,
  { type, maxPageBytes }: LeafColumn,
  count: number,
  dictionary: Dictionary<T> | null,
  convert: Convert<T>,
): (i: number) => T | undefined {
  if (encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY') {
    if (count === 0) return () => undefined;
    if (!dictionary) throw new Error('the page needs a dictionary, and there is none that can be read');
    const indices = new Int32Array(count);
    const width = bytes[0];
    if (width === undefined) throw new Error('the page ends before its values');
    if (width > 0) decodeHybrid(bytes.subarray(1), width, indices);
    for (const index of indices) {
      if (index < 0 || index >= dictionary.length)
        throw new Error(`index ${index} into a dictionary of ${dictionary.length}`);
    }
    return (i) => (i < count ? dictionary.at(indices[i] ?? 0) : undefined);
  }
  const physical = count === 0 ? [] : direct(encoding, bytes, type, count, maxPageBytes);
  return (i) => convert(physical[i]);
}

function direct(
  encoding: string | undefined,
  bytes: Uint8Array,
  type: LeafType,
  count: number,
  maxPageBytes: number,
): ArrayLike<unknown> {
  const { physical, typeLength } = type;
  switch (encoding) {
    case 'PLAIN':
      return plain(bytes, type, count);
    case 'RLE': {
      if (physical !== 'BOOLEAN') throw new Error(`RLE values of type ${physical}`);
      const bits = new Uint8Array(count);
      // The runs' length in bytes comes first.
      decodeHybrid(bytes.subarray(4), 1, bits);
      return Array.from(bits, (bit) => bit !== 0);
    }
    case 'DELTA_BINARY_PACKED':
      if (physical !== 'INT32' && physical !== 'INT64') throw new Error(`delta integers of type ${physical}`);
      return decodeDeltaIntegers(bytes, count, physical === 'INT32' ? 32 : 64);
    case 'DELTA_LENGTH_BYTE_ARRAY':
      if (physical !== 'BYTE_ARRAY') throw new Error(`delta lengths of type ${physical}`);
      return decodeDeltaLengths(bytes, count);
    case 'DELTA_BYTE_ARRAY':
      if (physical !== 'BYTE_ARRAY' && physical !== 'FIXED_LEN_BYTE_ARRAY')
        throw new Error(`delta strings of type ${physical}`);
      return decodeDeltaStrings(bytes, count, maxPageBytes);
    case 'BYTE_STREAM_SPLIT': {
      needs(bytes, count * widthOf(type));
      return byteStreamSplit(readerOf(bytes), count, parquetType(physical), typeLength);
    }
    default:
      throw new Error(`${encoding} encoding is not supported`);
  }
}

function plain(bytes: Uint8Array, type: LeafType, count: number): ArrayLike<unknown> {
  if (count === 0) return [];
  if (type.physical === 'BYTE_ARRAY') return byteArrays(bytes, count);
  needs(bytes, type.physical === 'BOOLEAN' ? Math.ceil(count / 8) : count * widthOf(type));
  if (type.physical === 'INT96')
    return Array.from({ length: count }, (_, i) => bytes.subarray(12 * i, 12 * i + 12));
  return readPlain(readerOf(bytes), parquetType(type.physical), count, type.typeLength);
}

/** Each value: its length in four bytes, then its bytes. (hyparquet's lets a value run past the page's end.) */
function byteArrays(bytes: Uint8Array, count: number): Uint8Array[] {
  needs(bytes, count * 4);
  const values = new Array<Uint8Array>(count);
  for (let i = 0, at = 0; i < count; i++) {
    if (at + 4 > bytes.length) throw new Error(`the page ends after ${i} of ${count} values`);
    const length = uint32(bytes, at);
    at += 4;
    if (length > bytes.length - at) throw new Error(`value ${i} of ${length} bytes runs past the page`);
    values[i] = bytes.subarray(at, at + length);
    at += length;
  }
  return values;
}

const WIDTHS: Readonly<Record<string, number | undefined>> = {
  INT32: 4,
  FLOAT: 4,
  INT64: 8,
  DOUBLE: 8,
  INT96: 12,
};

function widthOf({ physical, typeLength }: LeafType): number {
  const width = WIDTHS[physical] ?? (physical === 'FIXED_LEN_BYTE_ARRAY' ? typeLength : 0);
  if (width <= 0) throw new Error(`values of type ${physical} without a width`);
  return width;
}

function needs(bytes: Uint8Array, length: number): void {
  if (length > bytes.length)
    throw new Error(`the page's values take ${length} bytes, it has ${bytes.length}`);
}

const readerOf = (bytes: Uint8Array) => ({
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  offset: 0,
});

const uint32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)) >>>
  0;

const TYPES: readonly string[] = [
  'BOOLEAN',
  'INT32',
  'INT64',
  'INT96',
  'FLOAT',
  'DOUBLE',
  'BYTE_ARRAY',
  'FIXED_LEN_BYTE_ARRAY',
];

const isParquetType = (name: string): name is ParquetType => TYPES.includes(name);

function parquetType(name: string): ParquetType {
  if (!isParquetType(name)) throw new Error(`unknown type ${name}`);
  return name;
}
