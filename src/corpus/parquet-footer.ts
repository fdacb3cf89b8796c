/**
 * The footer of a parquet file: schema, row groups, and where each column chunk lies. Two requests, the last
 * eight bytes and then the metadata. Only what reading needs is kept: statistics are not parsed.
 */
import { createHash } from 'node:crypto';
import {
  CompressionCodecs,
  ConvertedTypes,
  FieldRepetitionTypes,
  ParquetTypes,
} from 'hyparquet/src/constants.js';
import { deserializeTCompactProtocol } from 'hyparquet/src/thrift.js';
import { firstLine, inputError, TokensieveError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { buildSchema, type Field, type LeafType, type SchemaEntry } from './parquet-schema.js';
import { thriftStructEnd } from './thrift.js';

const MAGIC = 'PAR1';
const MAGIC_ENCRYPTED = 'PARE';
/** Largest footer read, in bytes. A footer of a shard with 10,000 row groups of ten columns takes about 15 MB. */
const MAX_FOOTER_BYTES = 64 * 2 ** 20;
const MAX_FOOTER_VALUES = 4_000_000;

/** Where the pages of one leaf column of one row group lie; a string says why they cannot be read. */
export interface Chunk {
  readonly codec: string;
  /** Bytes [start, end) of the file: the dictionary page, if any, and the data pages. */
  readonly start: number;
  readonly end: number;
  readonly uncompressedBytes: number;
  /** Values, nulls included. */
  readonly entries: number;
}

export interface RowGroup {
  readonly rows: number;
  /** By leaf column; the reason where a chunk cannot be read. */
  readonly chunks: readonly (Chunk | string)[];
}

export interface ParquetFooter {
  readonly path: string;
  readonly size: number;
  readonly etag?: string;
  readonly pin?: string;
  /** sha256 of the metadata and its length, as they lie in the file. */
  readonly sha256: string;
  /** The top-level columns, in order. */
  readonly fields: readonly Field[];
  readonly rowGroups: readonly RowGroup[];
  readonly rows: number;
  /** Version of the format that the writer claims: 1 or 2. */
  readonly version: number;
  readonly createdBy: string;
}

/** Why an encrypted column chunk cannot be read. */
export const ENCRYPTED = 'the column is encrypted, and keys are not supported';

/** A thrift struct as hyparquet gives it; every value in it is unproven. */
type Thrift = Readonly<Record<string, unknown>>;

/** @throws TokensieveError (input): not a parquet file, encrypted, or a footer that cannot be understood. */
export async function readFooter(storage: Storage, path: string): Promise<ParquetFooter> {
  const version = await storage.stat(path);
  const { size, etag, pin } = version;
  if (size < 12) throw broken(path, `is ${size} bytes long, too short for a parquet file`);
  const tail = await storage.readRange(path, size - 8, size, version);
  const magic = Buffer.from(tail.subarray(4)).toString('latin1');
  if (magic === MAGIC_ENCRYPTED) {
    throw inputError(
      'encrypted',
      `${path}: the parquet file is encrypted. Decrypt it first; keys are not supported.`,
    );
  }
  if (magic !== MAGIC) {
    throw broken(
      path,
      `ends with ${JSON.stringify(magic)}, expected "${MAGIC}": not a parquet file, or cut off`,
    );
  }
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
  if (length > size - 12) throw broken(path, `claims a footer of ${length} bytes, the file has ${size}`);
  if (length > MAX_FOOTER_BYTES)
    throw broken(path, `has a footer of ${length} bytes, at most ${MAX_FOOTER_BYTES} are read`);
  const bytes = await storage.readRange(path, size - 8 - length, size - 8, version);
  const sha256 = createHash('sha256').update(bytes).update(tail.subarray(0, 4)).digest('hex');
  try {
    thriftStructEnd(bytes, 0, MAX_FOOTER_VALUES);
    const metadata = deserializeTCompactProtocol({
      view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      offset: 0,
    });
    return {
      path,
      size,
      ...(etag === undefined ? {} : { etag }),
      ...(pin === undefined ? {} : { pin }),
      sha256,
      ...understand(metadata, size - 8 - length),
    };
  } catch (error) {
    if (error instanceof TokensieveError) throw error;
    throw broken(path, `has a footer that cannot be read (${firstLine(error)})`, error);
  }
}

type Understood = Pick<ParquetFooter, 'fields' | 'rowGroups' | 'rows' | 'version' | 'createdBy'>;

function understand(metadata: Thrift, dataEnd: number): Understood {
  const fields = buildSchema(list(metadata['field_2'], 'schema').map(schemaEntry));
  const leafTypes = fields.flatMap(leavesOf);
  const createdBy = text(metadata['field_6']);
  const place = { dataEnd, slack: forgetsDictionaryHeader(createdBy) ? 100 : 0 };
  const rowGroups = list(metadata['field_4'], 'row groups').map((group) => rowGroup(group, leafTypes, place));
  const rows = rowGroups.reduce((sum, group) => sum + group.rows, 0);
  if (!Number.isSafeInteger(rows)) throw new Error(`row groups of ${rows} rows`);
  return { fields, rowGroups, rows, version: integer(metadata['field_1']), createdBy };
}

interface Place {
  /** Offset of the footer: no page may lie behind it. */
  readonly dataEnd: number;
  /** Bytes by which a chunk may be longer than it claims. */
  readonly slack: number;
}

/** parquet-mr before 1.2.9 left the dictionary page's header out of a chunk's size (PARQUET-816). */
const forgetsDictionaryHeader = (createdBy: string): boolean =>
  /^parquet-mr(?! version)/.test(createdBy) ||
  /^parquet-mr version (0|1\.[01]|1\.2\.[0-8])\b/.test(createdBy);

const leavesOf = (field: Field): readonly LeafType[] =>
  field.leaf ? [field.leaf] : field.children.flatMap(leavesOf);

function schemaEntry(entry: Thrift): SchemaEntry {
  const physical = named(ParquetTypes, entry['field_1']);
  if (physical === undefined && entry['field_1'] !== undefined) {
    throw new Error(`column ${text(entry['field_4'])} has physical type ${entry['field_1']}, which is none`);
  }
  const converted = named(ConvertedTypes, entry['field_6']);
  const logical = entry['field_10'];
  return {
    name: text(entry['field_4']),
    ...(physical === undefined ? {} : { physical }),
    typeLength: integer(entry['field_2']),
    repetition: named(FieldRepetitionTypes, entry['field_3']) ?? 'REQUIRED',
    children: integer(entry['field_5']),
    ...(converted === undefined ? {} : { converted }),
    scale: integer(entry['field_7']),
    ...(isStruct(logical) ? { logical } : {}),
  };
}

function rowGroup(group: Thrift, leaves: readonly LeafType[], place: Place): RowGroup {
  const rows = integer(group['field_3']);
  if (rows < 0) throw new Error(`a row group of ${rows} rows`);
  const columns = list(group['field_1'], 'column chunks');
  const chunks = leaves.map((leaf, i) => {
    const column = columns[i];
    return column && columns.length === leaves.length
      ? chunkOf(column, leaf, place)
      : `the row group has ${columns.length} column chunks, the schema has ${leaves.length}`;
  });
  return { rows, chunks };
}

/** Where a column chunk lies, or why it cannot be read. */
function chunkOf(column: Thrift, leaf: LeafType, { dataEnd, slack }: Place): Chunk | string {
  if (column['field_8'] !== undefined) return ENCRYPTED;
  if (column['field_1'] !== undefined)
    return `the column chunk lies in another file (${text(column['field_1'])})`;
  const meta = column['field_3'];
  if (!isStruct(meta)) return 'the column chunk has no metadata';
  const physical = named(ParquetTypes, meta['field_1']);
  if (physical !== leaf.physical)
    return `the column chunk holds ${physical}, the schema says ${leaf.physical}`;
  const pages = integer(meta['field_9']);
  const dictionary = integer(meta['field_11']);
  // A dictionary offset of 0, or behind the data, is some writers' way of saying "none".
  const start = dictionary > 0 && dictionary < pages ? dictionary : pages;
  const end = start + integer(meta['field_7']);
  if (!(start >= 4 && start <= end && end <= dataEnd)) {
    return `the column chunk claims bytes [${start}, ${end}) of a file whose data ends at ${dataEnd}`;
  }
  const codec = named(CompressionCodecs, meta['field_4']) ?? `codec ${meta['field_4']}`;
  return {
    codec,
    start,
    end: Math.min(end + slack, dataEnd),
    uncompressedBytes: Math.max(0, integer(meta['field_6'])),
    entries: integer(meta['field_5']),
  };
}

function list(value: unknown, what: string): readonly Thrift[] {
  if (!Array.isArray(value) || !value.every(isStruct)) throw new Error(`no list of ${what}`);
  return value;
}

const isStruct = (value: unknown): value is Thrift =>
  typeof value === 'object' && value !== null && !(value instanceof Uint8Array) && !Array.isArray(value);

const integer = (value: unknown): number =>
  typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : 0;

const named = (names: readonly (string | undefined)[], value: unknown): string | undefined =>
  typeof value === 'number' ? names[value] : undefined;

const text = (value: unknown): string =>
  value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : '';

const broken = (path: string, what: string, cause?: unknown): TokensieveError =>
  inputError('broken-shard', `${path}: ${what}.`, cause === undefined ? undefined : { cause });
