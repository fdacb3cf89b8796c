import { Field, Schema } from 'apache-arrow/schema';
import { FixedSizeBinary, Float16, Float32, Int32, Int64, List, Struct, Utf8 } from 'apache-arrow/type';
import { usageError } from '../errors.js';
import { canonicalJson, type JsonObject } from '../json/canonical-json.js';
import { TOKEN_COLUMNS, type TokenColumn } from './sequence-batch.js';

/** Precision of stored losses and entropies. Weights are always fp32. */
export type LossPrecision = 'fp32' | 'fp16';

/** Version of the files' layout; a reader refuses a newer one. */
export const DATASET_VERSION = 1;

/** The key of the schema metadata under which versions, fingerprints and conventions stand as JSON. */
export const METADATA_KEY = 'tokensieve';

/** Columns of a documents file that are the package's own; every other one is a column of the shard. */
export const DOCUMENT_COLUMNS: readonly string[] = ['row', 'text_digest', 'text_bytes', 'tokens'];

/** Bytes of `text_digest`: the first half of the SHA-256 of the document's UTF-8 text. */
export const TEXT_DIGEST_BYTES = 16;

const required = (name: string, type: Field['type']) => new Field(name, type, false);
const listOf = (type: Field['type']) => new List(required('item', type));

const segmentType = () =>
  new Struct([
    required('document', new Int64()),
    required('token_start', new Int32()),
    required('token_count', new Int32()),
    required('byte_start', new Int64()),
    required('byte_end', new Int64()),
  ]);

const schemaMetadata = (metadata: JsonObject) =>
  new Map([[METADATA_KEY, canonicalJson({ ...metadata, version: DATASET_VERSION })]]);

/** The given token columns in the order of the file. */
export const inFileOrder = (columns: readonly TokenColumn[]): TokenColumn[] =>
  TOKEN_COLUMNS.filter((name) => columns.includes(name));

/**
 * Schema of a scored or weighted file: one row a sequence, every list of a row of one length except `segments`.
 * `metadata` is stored under `tokensieve` with the layout's version added.
 */
export function sequenceSchema(
  columns: readonly TokenColumn[],
  lossPrecision: LossPrecision,
  metadata: JsonObject,
): Schema {
  const lossType = () => (lossPrecision === 'fp16' ? new Float16() : new Float32());
  return new Schema(
    [
      required('sequence_id', new Int64()),
      required('input_ids', listOf(new Int32())),
      ...inFileOrder(columns).map((name) =>
        required(name, listOf(name === 'weight' ? new Float32() : lossType())),
      ),
      required('segments', listOf(segmentType())),
    ],
    schemaMetadata(metadata),
  );
}

/**
 * Schema of a documents file: one row a document. `keep` are columns of the shard, as nullable strings.
 * Throws a usage error when one of them has a name that the file itself needs, or stands twice.
 */
export function documentSchema(keep: readonly string[], metadata: JsonObject): Schema {
  for (const [i, name] of keep.entries()) {
    if (DOCUMENT_COLUMNS.includes(name) || keep.indexOf(name) !== i) {
      throw usageError(
        'reserved-column',
        `column '${name}' cannot be kept: the documents file already has a column of this name; take it out of the columns to keep`,
      );
    }
  }
  return new Schema(
    [
      required('row', new Int64()),
      ...keep.map((name) => new Field(name, new Utf8(), true)),
      required('text_digest', new FixedSizeBinary(TEXT_DIGEST_BYTES)),
      required('text_bytes', new Int64()),
      required('tokens', new Int64()),
    ],
    schemaMetadata(metadata),
  );
}
