import { Precision } from 'apache-arrow/enum';
import type { Schema } from 'apache-arrow/schema';
import { DataType } from 'apache-arrow/type';
import { inputError } from '../errors.js';
import type { JsonObject } from '../json/canonical-json.js';
import { fromHalf } from '../numbers/fp16-bf16.js';
import type { Storage } from '../storage/storage.js';
import { asBigInt64, asFloat32, asInt32, asUint16, type BatchBody, openArrowFile } from './arrow-reader.js';
import { type LossPrecision, sequenceSchema } from './schema.js';
import type { SegmentColumns, SequenceBatch, TokenColumn } from './sequence-batch.js';
import { TOKEN_COLUMNS } from './sequence-batch.js';
import { isOffsets } from './sequence-buffer.js';

/** A scored or weighted file opened for reading. */
export interface SequenceFile {
  /** Bytes of the file. */
  readonly bytes: number;
  /** The JSON that the writer was given, and the layout's `version`. */
  readonly metadata: JsonObject;
  /** Token columns in the order of the file. */
  readonly columns: readonly TokenColumn[];
  readonly lossPrecision: LossPrecision;
  readonly batchCount: number;
  /** Rows of the file, from the headers of its record batches: nothing else is read. */
  countRows(): Promise<number>;
  /** Record batch `index` of the file, in memory of its own. */
  readBatch(index: number): Promise<SequenceBatch>;
  /**
   * Every record batch in order, one in memory at a time.
   * @param sha256 that the file must have: another is an input error (`part-damaged`) after the last batch
   */
  batches(sha256?: string): AsyncIterable<SequenceBatch>;
}

/**
 * Opens a sequence file and checks its schema. Reads the footer only.
 * Throws input errors that name the file: `arrow-corrupt` where it is truncated or damaged (also from
 * `readBatch`), `not-a-dataset` where it is something else. No damage reads as fewer rows.
 */
export async function readSequences(storage: Storage, path: string): Promise<SequenceFile> {
  const file = await openArrowFile(storage, path);
  const { columns, lossPrecision } = sequenceLayout(file.schema, file.metadata, path);
  const readBatch = async (index: number): Promise<SequenceBatch> => {
    const body = await file.readBatch(index);
    return file.guard(() => decodeBatch(body, columns, lossPrecision));
  };
  return {
    bytes: file.bytes,
    metadata: file.metadata,
    columns,
    lossPrecision,
    batchCount: file.batchCount,
    countRows: file.countRows,
    readBatch,
    async *batches(sha256) {
      for await (const body of file.batches(sha256)) {
        yield file.guard(() => decodeBatch(body, columns, lossPrecision));
      }
    },
  };
}

/** The token columns and precision of the only sequence schema that the fields fit. */
function sequenceLayout(
  schema: Schema,
  metadata: JsonObject,
  path: string,
): { columns: TokenColumn[]; lossPrecision: LossPrecision } {
  const columns = TOKEN_COLUMNS.filter((name) => schema.fields.some((field) => field.name === name));
  const isHalf = schema.fields.some(
    ({ name, type }) =>
      name !== 'weight' &&
      DataType.isList(type) &&
      DataType.isFloat(type.valueType) &&
      type.valueType.precision === Precision.HALF,
  );
  const lossPrecision = isHalf ? 'fp16' : 'fp32';
  checkFields(schema, sequenceSchema(columns, lossPrecision, metadata), path);
  return { columns, lossPrecision };
}

/** Throws an input error that names the first field which is not as `expected` has it. */
export function checkFields(found: Schema, expected: Schema, path: string): void {
  const show = (field: Schema['fields'][number] | undefined) =>
    field ? `${field.name}: ${field.type}` : 'nothing';
  for (let i = 0; i < Math.max(found.fields.length, expected.fields.length); i++) {
    const [a, b] = [show(found.fields[i]), show(expected.fields[i])];
    if (a === b) continue;
    throw inputError('not-a-dataset', `${path}: column ${i} is ${a}; expected ${b}`);
  }
}

function decodeBatch(
  body: BatchBody,
  columns: readonly TokenColumn[],
  precision: LossPrecision,
): SequenceBatch {
  const sequenceIds = takeInt64(body, body.rows);
  const offsets = takeOffsets(body, 'input_ids');
  const tokens = offsets[body.rows] ?? 0;
  const inputIds = takeInt32(body, tokens);
  const values = columns.map((name) => {
    const own = takeOffsets(body, name);
    const row = own.findIndex((end, i) => end !== offsets[i]);
    if (row >= 0) {
      throw new RangeError(
        `row ${sequenceIds[row - 1]}: ${name} and input_ids have lists of different lengths`,
      );
    }
    return [name, takeFloats(body, tokens, name === 'weight' ? 'fp32' : precision)] as const;
  });
  return {
    sequenceIds,
    offsets,
    inputIds,
    columns: Object.fromEntries(values),
    segments: takeSegments(body),
  };
}

function takeSegments(body: BatchBody): SegmentColumns {
  const offsets = takeOffsets(body, 'segments');
  const count = offsets[body.rows] ?? 0;
  takeNode(body, count);
  body.validity(count, 0);
  return {
    offsets,
    document: takeInt64(body, count),
    tokenStart: takeInt32(body, count),
    tokenCount: takeInt32(body, count),
    byteStart: takeInt64(body, count),
    byteEnd: takeInt64(body, count),
  };
}

/** Takes a node that must have `length` items, none of them null. */
function takeNode(body: BatchBody, length: number): void {
  const node = body.node();
  if (node.length !== length) throw new RangeError(`an array has ${node.length} items; expected ${length}`);
  if (node.nulls !== 0) throw new RangeError(`an array has ${node.nulls} nulls; expected none`);
}

function takeFixed(body: BatchBody, length: number, width: number): Uint8Array {
  takeNode(body, length);
  body.validity(length, 0);
  return body.buffer(length * width);
}

const takeInt64 = (body: BatchBody, length: number) => asBigInt64(takeFixed(body, length, 8));
const takeInt32 = (body: BatchBody, length: number) => asInt32(takeFixed(body, length, 4));
const takeFloats = (body: BatchBody, length: number, precision: LossPrecision) =>
  precision === 'fp16'
    ? fromHalf(asUint16(takeFixed(body, length, 2)))
    : asFloat32(takeFixed(body, length, 4));

/** [rows + 1] offsets of a list column, from 0 and never falling. */
function takeOffsets(body: BatchBody, name: string): Int32Array {
  takeNode(body, body.rows);
  body.validity(body.rows, 0);
  const offsets = asInt32(body.buffer((body.rows + 1) * 4));
  if (!isOffsets(offsets, offsets[body.rows] ?? 0))
    throw new RangeError(`the offsets of ${name} fall, or do not begin at 0`);
  return offsets;
}
