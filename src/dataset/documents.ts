import { createHash } from 'node:crypto';
import { fatalError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { exactText } from '../json/exact-number.js';
import type { Storage } from '../storage/storage.js';
import { asBigInt64, asInt32, type BatchBody, openArrowFile } from './arrow-reader.js';
import {
  type ColumnData,
  createArrowFile,
  type FileDigest,
  flatColumn,
  stringColumn,
} from './arrow-writer.js';
import type { Compression } from './codecs.js';
import { checkFields } from './reader.js';
import { DOCUMENT_COLUMNS, documentSchema, TEXT_DIGEST_BYTES } from './schema.js';
import { isOffsets } from './sequence-buffer.js';

/** A row of a documents file: what is kept of a document besides its tokens. */
export interface DocumentRecord {
  /** Row in the shard. */
  readonly row: number;
  /** Values of the kept columns. Strings are stored as they are, null and absent as null, the rest as JSON text. */
  readonly columns: JsonObject;
  /** `textDigest` of the document's text. */
  readonly textDigest: Uint8Array;
  /** UTF-8 bytes of the text. */
  readonly textBytes: number;
  /** Tokens that the document has in the part, BOS and EOS included. */
  readonly tokens: number;
}

/** The first 16 bytes of the SHA-256 of a text's UTF-8 bytes: tells whether a shard still holds this text. */
export const textDigest = (text: string): Uint8Array =>
  createHash('sha256').update(text, 'utf8').digest().subarray(0, TEXT_DIGEST_BYTES);

export interface DocumentWriterOptions {
  /** Columns of the shard to keep, in file order. */
  readonly keep: readonly string[];
  readonly compression: Compression;
  readonly metadata: JsonObject;
}

export interface DocumentWriter {
  write(documents: readonly DocumentRecord[]): Promise<void>;
  finish(): Promise<FileDigest & { readonly rows: number }>;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

/** A record batch is closed once it has this many documents, or this many bytes of kept strings. */
const MAX_DOCUMENTS = 8192;
const MAX_STRING_BYTES = 1 << 22;
/** Longest kept value of one document, in UTF-8 bytes: what a reader still takes. */
const MAX_VALUE_BYTES = 1 << 26;

/**
 * Opens a documents file for writing, in row order. Equal documents give equal bytes however they are handed in.
 * Throws a usage error (`reserved-column`) where a kept column has the name of one of the file's own.
 */
export async function createDocumentWriter(
  storage: Storage,
  path: string,
  options: DocumentWriterOptions,
): Promise<DocumentWriter> {
  const { keep } = options;
  const file = await createArrowFile(
    storage,
    path,
    documentSchema(keep, options.metadata),
    options.compression,
  );
  let pending: DocumentRecord[] = [];
  let strings: (Buffer | null)[][] = keep.map(() => []);
  let stringBytes = 0;
  let rows = 0;

  const flush = async () => {
    const columns = encodeDocuments(pending, strings);
    rows += pending.length;
    const count = pending.length;
    pending = [];
    strings = keep.map(() => []);
    stringBytes = 0;
    await file.append(count, columns);
  };

  return {
    async write(documents) {
      for (const document of documents) {
        if (document.textDigest.length !== TEXT_DIGEST_BYTES) {
          throw fatalError(
            'bad-batch',
            `${path}: row ${document.row}: a digest of ${document.textDigest.length} bytes; expected 16`,
          );
        }
        pending.push(document);
        for (const [i, name] of keep.entries()) {
          const text = storedText(document.columns[name]);
          const value = text === null ? null : Buffer.from(text, 'utf8');
          if (value !== null && value.length > MAX_VALUE_BYTES) {
            throw fatalError(
              'value-not-storable',
              `${path}: row ${document.row}: column '${name}' has ${value.length} bytes; at most ${MAX_VALUE_BYTES} can be kept: take it out of the columns to keep`,
            );
          }
          stringBytes += value?.length ?? 0;
          strings[i]?.push(value);
        }
        if (pending.length >= MAX_DOCUMENTS || stringBytes >= MAX_STRING_BYTES) await flush();
      }
    },
    async finish() {
      if (pending.length > 0) await flush();
      return { ...(await file.finish()), rows };
    },
    commit: () => file.commit(),
    abort: () => file.abort(),
  };
}

/** A kept value as the file has it; null where there is none. */
export const storedText = (value: unknown): string | null =>
  value === null || value === undefined ? null : exactText(value);

function encodeDocuments(
  documents: readonly DocumentRecord[],
  strings: readonly (Buffer | null)[][],
): ColumnData[] {
  const count = documents.length;
  const digests = new Uint8Array(count * TEXT_DIGEST_BYTES);
  for (const [i, document] of documents.entries()) digests.set(document.textDigest, i * TEXT_DIGEST_BYTES);
  const integers = (values: (document: DocumentRecord) => number) =>
    flatColumn(
      count,
      BigInt64Array.from(documents, (document) => BigInt(values(document))),
    );
  return [
    integers((document) => document.row),
    ...strings.map(encodeStrings),
    flatColumn(count, digests),
    integers((document) => document.textBytes),
    integers((document) => document.tokens),
  ];
}

function encodeStrings(values: readonly (Buffer | null)[]): ColumnData {
  const offsets = new Int32Array(values.length + 1);
  const validity = new Uint8Array(Math.ceil(values.length / 8));
  let nulls = 0;
  for (const [i, value] of values.entries()) {
    offsets[i + 1] = (offsets[i] ?? 0) + (value?.length ?? 0);
    if (value === null) nulls++;
    else validity[i >> 3] = (validity[i >> 3] ?? 0) | (1 << (i & 7));
  }
  return stringColumn(offsets, Buffer.concat(values.filter((value) => value !== null)), nulls, validity);
}

/** A documents file opened for reading. */
export interface DocumentFile {
  readonly bytes: number;
  readonly metadata: JsonObject;
  /** Columns of the shard that were kept. */
  readonly keep: readonly string[];
  countRows(): Promise<number>;
  /**
   * Documents in row order, one record batch in memory. Kept values come back as the strings that are stored.
   * @param sha256 as for `SequenceFile`
   */
  batches(sha256?: string): AsyncIterable<readonly DocumentRecord[]>;
}

/** Opens a documents file. Errors are those of `readSequences`. */
export async function readDocuments(storage: Storage, path: string): Promise<DocumentFile> {
  const file = await openArrowFile(storage, path);
  const keep = file.schema.fields
    .map((field) => field.name)
    .filter((name) => !DOCUMENT_COLUMNS.includes(name));
  const expected = file.guard(() => documentSchema(keep, file.metadata));
  checkFields(file.schema, expected, path);
  return {
    bytes: file.bytes,
    metadata: file.metadata,
    keep,
    countRows: file.countRows,
    async *batches(sha256) {
      for await (const body of file.batches(sha256)) yield file.guard(() => decodeDocuments(body, keep));
    },
  };
}

function decodeDocuments(body: BatchBody, keep: readonly string[]): DocumentRecord[] {
  // Each becomes an object, some hundred bytes more than a compressed row need have.
  if (body.rows > MAX_DOCUMENTS)
    throw new RangeError(`a record batch has ${body.rows} documents; at most ${MAX_DOCUMENTS} are written`);
  const flat = (width: number): Uint8Array => {
    const { length, nulls } = body.node();
    if (length !== body.rows || nulls !== 0)
      throw new RangeError(`a column has ${length} items, ${nulls} of them null`);
    body.validity(length, 0);
    return body.buffer(length * width);
  };
  const row = asBigInt64(flat(8));
  const kept = keep.map((name) => [name, decodeStrings(body)] as const);
  const digests = flat(TEXT_DIGEST_BYTES);
  const textBytes = asBigInt64(flat(8));
  const tokens = asBigInt64(flat(8));
  return Array.from({ length: body.rows }, (_, i) => ({
    row: Number(row[i]),
    columns: Object.fromEntries(kept.map(([name, values]) => [name, values[i] ?? null])),
    textDigest: digests.subarray(i * TEXT_DIGEST_BYTES, (i + 1) * TEXT_DIGEST_BYTES),
    textBytes: Number(textBytes[i]),
    tokens: Number(tokens[i]),
  }));
}

function decodeStrings(body: BatchBody): (string | null)[] {
  const { length, nulls } = body.node();
  if (length !== body.rows) throw new RangeError(`a column has ${length} items; expected ${body.rows}`);
  const validity = body.validity(length, nulls);
  const offsets = asInt32(body.buffer((length + 1) * 4));
  const size = offsets[length] ?? 0;
  if (!isOffsets(offsets, size))
    throw new RangeError('the offsets of a string column fall, or do not begin at 0');
  const { buffer, byteOffset } = body.buffer(size);
  const bytes = Buffer.from(buffer, byteOffset, size);
  return Array.from({ length }, (_, i) =>
    validity !== undefined && (((validity[i >> 3] ?? 0) >> (i & 7)) & 1) === 0
      ? null
      : bytes.toString('utf8', offsets[i], offsets[i + 1]),
  );
}
