import { createHash } from 'node:crypto';
import type { Schema } from 'apache-arrow/schema';
import { DataType } from 'apache-arrow/type';
import { firstLine, inputError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import type { Storage } from '../storage/storage.js';
import {
  type BatchHeader,
  type Block,
  decodeBatchHeader,
  decodeBlocks,
  decodeSchema,
} from './arrow-footer.js';
import { type BodyCodec, codecFor, compressionOf, decompressBuffer } from './codecs.js';
import { DATASET_VERSION, METADATA_KEY } from './schema.js';

/**
 * Arrow IPC files read one record batch at a time. apache-arrow's own reader gives 0 rows for a truncated file
 * and clamps buffers that reach beyond their body; here both are errors, and so is everything that does not fit
 * together. Typed arrays are views of the bytes read where nothing had to be decompressed.
 */
export interface ArrowFileReader {
  /** Bytes of the file. */
  readonly bytes: number;
  readonly schema: Schema;
  /** The JSON under `tokensieve` in the schema metadata. */
  readonly metadata: JsonObject;
  readonly batchCount: number;
  /** Rows of each record batch, from their headers. */
  countRows(): Promise<number>;
  /** The body of record batch `index`, whose columns are to be taken in the schema's order. */
  readBatch(index: number): Promise<BatchBody>;
  /**
   * The bodies of all record batches in order. With a digest every byte of the file is hashed on the way, those between
   * the batches too, and a file that has another one is an input error (`part-damaged`) after the last batch.
   * @param sha256 that the file must have, in hex
   */
  batches(sha256?: string): AsyncGenerator<BatchBody>;
  /** Runs `parse` and turns whatever it throws into an input error that names the file. */
  guard<T>(parse: () => T): T;
}

/** A record batch whose columns are taken one after another. Each call throws an input error on a misfit. */
export interface BatchBody {
  readonly rows: number;
  /** Takes the next field node: items of the array, and how many of them are null. */
  node(): { readonly length: number; readonly nulls: number };
  /** Takes the next buffer, which must hold exactly `bytes` (0 is allowed for an absent validity bitmap). */
  buffer(bytes: number): Uint8Array;
  /** Takes the next buffer as a validity bitmap of `length` items; undefined where none is null. */
  validity(length: number, nulls: number): Uint8Array | undefined;
}

const MAGIC = 'ARROW1';
/** Magic, padding and an empty message; end of stream, footer length and magic. */
const SMALLEST_FILE = 8 + 8 + 10;
/** Enough for the footer of a file of some hundred record batches. */
const TAIL_BYTES = 1 << 16;
/** 24 bytes a record batch and the schema: room for 2.7 million record batches. */
const MAX_FOOTER_BYTES = 1 << 26;
/** What the buffers of one record batch may hold together once decompressed: the longest row in seven columns. */
const MAX_BATCH_BYTES = 1 << 29;
/** Bytes that are read at a time, if a record batch is not longer: a store is asked less often than there are batches. */
const READ_BYTES = 1 << 22;
/** Readings under way at once: the next one comes in while the last one is worked on. */
const READS_AHEAD = 2;
/** Largest buffer that is read: a column of the longest row (2^24 tokens of 8 bytes) fits. */
const MAX_BUFFER_BYTES = 1 << 27;

/**
 * Opens a file from its footer. Throws an input error that names the file where it is truncated, corrupt, or
 * not written by this package.
 */
export async function openArrowFile(storage: Storage, path: string): Promise<ArrowFileReader> {
  const { size } = await storage.stat(path);
  const refuse = (what: string) => inputError('arrow-corrupt', `${path}: ${what}; write it again`);
  if (size < SMALLEST_FILE) throw refuse(`${size} bytes are too few for an Arrow file`);
  const guard = <T>(parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      throw inputError('arrow-corrupt', `${path}: ${firstLine(error)}; the file is damaged: write it again`, {
        cause: error,
      });
    }
  };

  const head = await storage.readRange(path, 0, 16);
  const tail = await storage.readRange(path, Math.max(0, size - TAIL_BYTES), size);
  const magicAt = (bytes: Uint8Array, at: number) =>
    String.fromCharCode(...bytes.subarray(at, at + 6)) === MAGIC;
  if (!magicAt(head, 0)) throw refuse('no Arrow magic at the beginning');
  if (!magicAt(tail, tail.length - 6)) throw refuse('no Arrow magic at the end: the file is truncated');
  const footerBytes = new DataView(tail.buffer, tail.byteOffset + tail.length - 10).getInt32(0, true);
  const footerStart = size - 10 - footerBytes;
  if (footerBytes <= 0 || footerBytes > MAX_FOOTER_BYTES || footerStart < 8) {
    throw refuse(`the footer says it has ${footerBytes} of the file's ${size} bytes`);
  }
  const footer =
    footerBytes + 10 <= tail.length
      ? tail.subarray(tail.length - 10 - footerBytes, tail.length - 10)
      : await storage.readRange(path, footerStart, size - 10);

  // The stream inside the file: its schema message from byte 8, the record batches, 8 bytes of end mark.
  const schemaBytes = new DataView(head.buffer, head.byteOffset).getInt32(12, true);
  // Another program's file is told apart before it is called damaged for not being laid out as ours are.
  const schema = guard(() => decodeSchema(footer));
  const metadata = readMetadata(schema, path);
  const blocks = guard(() => decodeBlocks(footer, 16 + schemaBytes, footerStart - 8));
  const { nodes, buffers } = guard(() => layoutOf(schema));

  const header = async (block: Block): Promise<BatchHeader> => {
    const bytes = await storage.readRange(path, block.offset, block.offset + block.metadataBytes);
    return guard(() => decodeBatchHeader(bytes, block, nodes, buffers));
  };

  const bodyOf = async (bytes: Uint8Array, block: Block): Promise<BatchBody> => {
    const bodyStart = block.metadataBytes;
    const found = guard(() => decodeBatchHeader(bytes.subarray(0, bodyStart), block, nodes, buffers));
    const compression = guard(() => compressionOf(found.compression));
    const codec = await codecFor(compression);
    return createBody(found, bytes.subarray(bodyStart), codec);
  };
  return {
    bytes: size,
    schema,
    metadata,
    batchCount: blocks.length,
    guard,
    async countRows() {
      let rows = 0;
      for (const block of blocks) rows += (await header(block)).rows;
      return rows;
    },
    async readBatch(index) {
      const block = blocks[index];
      if (block === undefined) throw refuse(`there is no record batch ${index}; it has ${blocks.length}`);
      return bodyOf(await storage.readRange(path, block.offset, endOf(block)), block);
    },
    async *batches(sha256) {
      const hash = sha256 === undefined ? undefined : createHash('sha256');
      let hashed = 0;
      // Blocks lie one after another without a gap (`decodeBlocks`): what is before the first and after the last is left.
      const hashUpTo = async (end: number): Promise<void> => {
        for (; hash !== undefined && hashed < end; hashed = Math.min(end, hashed + READ_BYTES)) {
          hash.update(await storage.readRange(path, hashed, Math.min(end, hashed + READ_BYTES)));
        }
      };
      await hashUpTo(blocks[0]?.offset ?? 0);
      const reads = mapAhead(readingsOf(blocks), READS_AHEAD, async ({ start, end, own }) => ({
        bytes: await storage.readRange(path, start, end),
        start,
        own,
      }));
      for await (const { bytes, start, own } of reads) {
        hash?.update(bytes);
        hashed = start + bytes.length;
        for (const block of own) {
          yield bodyOf(bytes.subarray(block.offset - start, endOf(block) - start), block);
        }
      }
      await hashUpTo(size);
      const found = hash?.digest('hex');
      if (found === sha256) return;
      throw inputError('part-damaged', `${path}: has sha256 ${found}; its manifest says ${sha256}`);
    },
  };
}

const endOf = ({ offset, metadataBytes, bodyBytes }: Block): number => offset + metadataBytes + bodyBytes;

/** Whole record batches to be read together. The first reading is one batch: some readers want no more. */
function* readingsOf(
  blocks: readonly Block[],
): Generator<{ readonly start: number; readonly end: number; readonly own: readonly Block[] }> {
  let own: Block[] = [];
  let first = true;
  for (const [index, block] of blocks.entries()) {
    own.push(block);
    const [start, end] = [own[0]?.offset ?? 0, endOf(block)];
    const next = blocks[index + 1];
    if (!first && next !== undefined && endOf(next) - start <= READ_BYTES) continue;
    yield { start, end, own };
    own = [];
    first = false;
  }
}

function createBody(header: BatchHeader, body: Uint8Array, codec: BodyCodec | undefined): BatchBody {
  let nextNode = 0;
  let nextBuffer = 0;
  let decompressed = 0;
  const take = (): Uint8Array => {
    const region = header.regions[nextBuffer++];
    if (region === undefined) throw new RangeError('a record batch has too few buffers');
    return body.subarray(region.offset, region.offset + region.length);
  };
  const sized = (stored: Uint8Array, bytes: number): Uint8Array => {
    if (bytes > MAX_BUFFER_BYTES)
      throw new RangeError(`a buffer claims ${bytes} bytes; at most ${MAX_BUFFER_BYTES} are read`);
    if (bytes === 0) return stored.subarray(0, 0);
    if (codec !== undefined) {
      decompressed += bytes;
      if (decompressed > MAX_BATCH_BYTES)
        throw new RangeError(`a record batch claims more than ${MAX_BATCH_BYTES} bytes decompressed`);
      return decompressBuffer(codec, stored, bytes);
    }
    // Writers may count the padding to 8 bytes, or to 64, into a buffer's length.
    if (stored.length < bytes || stored.length > bytes + 64) {
      throw new RangeError(`buffer ${nextBuffer - 1} has ${stored.length} bytes; expected ${bytes}`);
    }
    return stored.subarray(0, bytes);
  };
  return {
    rows: header.rows,
    node() {
      const node = header.nodes[nextNode++];
      if (node === undefined) throw new RangeError('a record batch has too few nodes');
      return node;
    },
    buffer: (bytes) => sized(take(), bytes),
    validity(length, nulls) {
      const stored = take();
      return nulls === 0 ? undefined : sized(stored, Math.ceil(length / 8));
    },
  };
}

function readMetadata(schema: Schema, path: string): JsonObject {
  const text = schema.metadata.get(METADATA_KEY);
  const refuse = (what: string) =>
    inputError('not-a-dataset', `${path}: ${what}; expected a file that tokensieve wrote`);
  if (text === undefined) throw refuse(`its schema has no '${METADATA_KEY}' metadata`);
  let metadata: unknown;
  try {
    metadata = parseJson(text);
  } catch {
    throw refuse(`its '${METADATA_KEY}' metadata is not JSON`);
  }
  if (!isJsonObject(metadata)) throw refuse(`its '${METADATA_KEY}' metadata is no object`);
  if (metadata.version !== DATASET_VERSION) {
    throw refuse(
      `its layout is version ${JSON.stringify(metadata.version)}, this package reads ${DATASET_VERSION}`,
    );
  }
  return metadata;
}

/** Field nodes and buffers that a record batch of the schema has. */
function layoutOf(schema: Schema): { nodes: number; buffers: number } {
  const sizes = schema.fields.map((field) => sizeOf(field.type));
  return {
    nodes: sizes.reduce((sum, size) => sum + size.nodes, 0),
    buffers: sizes.reduce((sum, size) => sum + size.buffers, 0),
  };
}

function sizeOf(type: DataType): { nodes: number; buffers: number } {
  const children = (type.children ?? []).map((field) => sizeOf(field.type));
  const own = DataType.isStruct(type) ? 1 : DataType.isList(type) ? 2 : DataType.isUtf8(type) ? 3 : 2;
  return {
    nodes: children.reduce((sum, child) => sum + child.nodes, 1),
    buffers: children.reduce((sum, child) => sum + child.buffers, own),
  };
}

/** The bytes where they lie if that suits arrays of items of `size` bytes, else a copy that does. */
const aligned = (bytes: Uint8Array, size: number): Uint8Array =>
  bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);

export function asUint16(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

export function asInt32(bytes: Uint8Array): Int32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  return new Int32Array(buffer, byteOffset, byteLength / 4);
}

export function asFloat32(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

export function asBigInt64(bytes: Uint8Array): BigInt64Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 8);
  return new BigInt64Array(buffer, byteOffset, byteLength / 8);
}
