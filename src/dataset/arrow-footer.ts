import type { Field as FieldTable } from 'apache-arrow/fb/field';
import { Footer } from 'apache-arrow/fb/footer';
import type { KeyValue } from 'apache-arrow/fb/key-value';
import { Message } from 'apache-arrow/fb/message';
import { RecordBatch } from 'apache-arrow/fb/record-batch';
import type { Schema as SchemaTable } from 'apache-arrow/fb/schema';
// Gives schemas their `decode`.
import 'apache-arrow/ipc/metadata/message';
import { MessageHeader, type MetadataVersion } from 'apache-arrow/enum';
import { Schema } from 'apache-arrow/schema';
import { ByteBuffer, Encoding } from 'flatbuffers';
import { inputError } from '../errors.js';

/**
 * The flatbuffers of an Arrow file, read as hostile input: every count is checked against the bytes that are
 * there before anything is decoded, so that a few corrupt bytes can neither take memory nor time.
 */

/** Where a record batch lies in the file. */
export interface Block {
  readonly offset: number;
  /** Bytes of the encapsulated message, its prefix included; the body follows. */
  readonly metadataBytes: number;
  readonly bodyBytes: number;
}

/** Field nodes and buffer regions of a record batch, in the format's order. */
export interface BatchHeader {
  readonly rows: number;
  readonly nodes: readonly { readonly length: number; readonly nulls: number }[];
  readonly regions: readonly { readonly offset: number; readonly length: number }[];
  /** The format's number of the compression; undefined where there is none. */
  readonly compression: number | undefined;
}

const corrupt = (what: string) => inputError('arrow-corrupt', what);

/** Largest record batch body that is read: more than the longest row (2^24 tokens) needs. */
const MAX_BODY_BYTES = 2 ** 30;

/** Fields of a schema, nested ones counted: four bytes of the file can name one that is there already. */
const MAX_FIELDS = 4096;

/** A 64-bit length or offset as a number; one that is negative or beyond `limit` is an error. */
function bounded(value: bigint | number, limit: number, what: string): number {
  const n = Number(value);
  if (n >= 0 && n <= limit) return n;
  throw corrupt(`${what} is ${value}; expected 0 to ${limit}`);
}

/** The schema in the footer's flatbuffer. Throws an input error. */
export function decodeSchema(bytes: Uint8Array): Schema {
  const footer = Footer.getRootAsFooter(new ByteBuffer(bytes));
  const table = footer.schema();
  if (table === null) throw corrupt('the footer has no schema');
  if (table.endianness() !== 0) throw corrupt('the file is big-endian; expected little-endian');
  checkSchemaSize(table, bytes.length);
  return Schema.decode(table, new Map(), footer.version() as number as MetadataVersion);
}

/**
 * Record batch positions in the footer's flatbuffer. The blocks must fill the file's bytes [start, end) without a
 * gap, so that a damaged count cannot lose rows unseen. Throws an input error.
 */
export function decodeBlocks(bytes: Uint8Array, start: number, end: number): Block[] {
  const footer = Footer.getRootAsFooter(new ByteBuffer(bytes));
  if (footer.dictionariesLength() > 0) throw corrupt('the file has dictionaries; expected none');
  const count = bounded(footer.recordBatchesLength(), bytes.length / 24, 'the number of record batches');
  const blocks: Block[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const block = footer.recordBatches(i);
    if (block === null) throw corrupt(`record batch ${i} is not in the footer`);
    const offset = Number(block.offset());
    if (offset !== at || offset % 8 !== 0)
      throw corrupt(`record batch ${i} is at byte ${offset}; expected ${at}`);
    const metadataBytes = bounded(block.metaDataLength(), end - at, `the metadata length of batch ${i}`);
    const rest = Math.min(end - at - metadataBytes, MAX_BODY_BYTES);
    const bodyBytes = bounded(block.bodyLength(), rest, `the body length of batch ${i}`);
    if (metadataBytes < 16) throw corrupt(`record batch ${i} has ${metadataBytes} bytes of metadata`);
    at += metadataBytes + bodyBytes;
    blocks.push({ offset, metadataBytes, bodyBytes });
  }
  if (at !== end) throw corrupt(`the record batches end at byte ${at}; expected ${end}`);
  return blocks;
}

/** In an honest flatbuffer no bytes are used twice, so what a schema holds cannot be larger than its bytes. */
export function checkSchemaSize(schema: SchemaTable, bytes: number): void {
  let budget = bytes;
  let fields = 0;
  const spend = (n: number) => {
    budget -= n;
    if (budget < 0) throw corrupt(`the schema claims more than the footer's ${bytes} bytes`);
  };
  const spendText = (pair: KeyValue | null) => {
    for (const text of [pair?.key(Encoding.UTF8_BYTES), pair?.value(Encoding.UTF8_BYTES)])
      spend(4 + (text?.length ?? 0));
  };
  const spendField = (field: FieldTable | null): void => {
    spend(4 + (field?.name(Encoding.UTF8_BYTES)?.length ?? 0));
    if (++fields > MAX_FIELDS) throw corrupt(`the schema has more than ${MAX_FIELDS} fields`);
    if (field === null) return;
    for (let i = 0; i < field.customMetadataLength(); i++) spendText(field.customMetadata(i));
    for (let i = 0; i < field.childrenLength(); i++) spendField(field.children(i));
  };
  for (let i = 0; i < schema.customMetadataLength(); i++) spendText(schema.customMetadata(i));
  for (let i = 0; i < schema.fieldsLength(); i++) spendField(schema.fields(i));
}

/**
 * The header of a record batch from its encapsulated message (`block.metadataBytes` bytes). `nodes` and
 * `buffers` are the counts that the schema asks for. Throws an input error.
 */
export function decodeBatchHeader(
  bytes: Uint8Array,
  block: Block,
  nodes: number,
  buffers: number,
): BatchHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getInt32(0, true) !== -1)
    throw corrupt('a record batch does not begin with the continuation mark');
  const length = bounded(view.getInt32(4, true), bytes.length - 8, 'the metadata length of a record batch');
  const message = Message.getRootAsMessage(new ByteBuffer(bytes.subarray(8, 8 + length)));
  if ((message.headerType() as number) !== MessageHeader.RecordBatch) {
    throw corrupt(`a message is of type ${message.headerType()}; expected a record batch`);
  }
  if (Number(message.bodyLength()) !== block.bodyBytes) {
    throw corrupt(
      `a record batch says it has ${message.bodyLength()} bytes; the footer says ${block.bodyBytes}`,
    );
  }
  const batch: RecordBatch | null = message.header(new RecordBatch());
  if (batch === null) throw corrupt('a record batch has no header');
  if (batch.nodesLength() !== nodes || batch.buffersLength() !== buffers) {
    throw corrupt(
      `a record batch has ${batch.nodesLength()} nodes and ${batch.buffersLength()} buffers; its schema has ${nodes} and ${buffers}`,
    );
  }
  const limit = 2 ** 31 - 1;
  let last = 0;
  return {
    rows: bounded(batch.length(), limit, 'the number of rows of a record batch'),
    nodes: Array.from({ length: nodes }, (_, i) => ({
      length: bounded(batch.nodes(i)?.length() ?? -1, limit, `the length of node ${i}`),
      nulls: bounded(batch.nodes(i)?.nullCount() ?? -1, limit, `the null count of node ${i}`),
    })),
    regions: Array.from({ length: buffers }, (_, i) => {
      const offset = bounded(batch.buffers(i)?.offset() ?? -1, block.bodyBytes, `the offset of buffer ${i}`);
      // Buffers that share bytes would be more in memory than in the file.
      if (offset < last)
        throw corrupt(`buffer ${i} begins at byte ${offset}, before the end of the one before it`);
      const rest = block.bodyBytes - offset;
      const length = bounded(batch.buffers(i)?.length() ?? -1, rest, `the length of buffer ${i}`);
      last = offset + length;
      return { offset, length };
    }),
    compression: batch.compression()?.codec() as number | undefined,
  };
}
