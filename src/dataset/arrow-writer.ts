import { createHash } from 'node:crypto';
import { MetadataVersion } from 'apache-arrow/enum';
import { FileBlock, Footer } from 'apache-arrow/ipc/metadata/file';
import {
  BodyCompression,
  BufferRegion,
  FieldNode,
  Message,
  RecordBatch,
} from 'apache-arrow/ipc/metadata/message';
import type { Schema } from 'apache-arrow/schema';
import type { Storage } from '../storage/storage.js';
import { type BodyCodec, type Compression, codecFor, compressBuffer } from './codecs.js';

/**
 * Arrow IPC files written one record batch at a time through `Storage`. apache-arrow encodes the messages and
 * the footer; the framing is here because its own writer queues without back-pressure and, in 21.2, stores the
 * compressed length where the format wants the uncompressed one (apache/arrow-js#470; docs/decisions.md, "Arrow").
 */

/** A column's arrays in the format's order: field nodes depth first, and each node's buffers. */
export interface ColumnData {
  readonly nodes: readonly { readonly length: number; readonly nulls: number }[];
  readonly buffers: readonly ArrayBufferView[];
}

const NO_BITMAP = new Uint8Array(0);

/** [length] values of fixed width, none of them null. */
export const flatColumn = (length: number, values: ArrayBufferView): ColumnData => ({
  nodes: [{ length, nulls: 0 }],
  buffers: [NO_BITMAP, values],
});

/** Lists [rows] with offsets [rows + 1] into `items`. */
export const listColumn = (offsets: Int32Array, items: ColumnData): ColumnData => ({
  nodes: [{ length: offsets.length - 1, nulls: 0 }, ...items.nodes],
  buffers: [NO_BITMAP, offsets, ...items.buffers],
});

/** [length] structs. */
export const structColumn = (length: number, children: readonly ColumnData[]): ColumnData => ({
  nodes: [{ length, nulls: 0 }, ...children.flatMap((child) => child.nodes)],
  buffers: [NO_BITMAP, ...children.flatMap((child) => child.buffers)],
});

/** Strings with offsets [rows + 1] into UTF-8 bytes; `validity` has bit r set where row r is not null. */
export const stringColumn = (
  offsets: Int32Array,
  bytes: Uint8Array,
  nulls: number,
  validity: Uint8Array,
): ColumnData => ({
  nodes: [{ length: offsets.length - 1, nulls }],
  buffers: [nulls === 0 ? NO_BITMAP : validity, offsets, bytes],
});

/** A file that was written but not yet committed. */
export interface FileDigest {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface ArrowFileWriter {
  /** Writes a record batch; resolves when the arrays may be reused, and the batch before it is handed to the store. */
  append(rows: number, columns: readonly ColumnData[]): Promise<void>;
  /** Writes the footer. The file stays invisible until `commit`. */
  finish(): Promise<FileDigest>;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

const align = (n: number) => (n + 7) & ~7;
const asBytes = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const MAGIC = Buffer.from('ARROW1');

export async function createArrowFile(
  storage: Storage,
  path: string,
  schema: Schema,
  compression: Compression,
): Promise<ArrowFileWriter> {
  const codec = await codecFor(compression);
  const file = await storage.stage(path);
  const hash = createHash('sha256');
  const blocks: FileBlock[] = [];
  let position = 0;
  // One write is under way while the next bytes are made.
  let writing: Promise<void> = Promise.resolve();
  const write = async (bytes: Uint8Array) => {
    hash.update(bytes);
    position += bytes.length;
    await writing;
    writing = file.write(bytes);
    writing.catch(() => undefined); // Told with the next write, or at the end.
  };
  // The magic is padded to 8 bytes; what follows is a whole Arrow stream, as the format has it.
  await write(frame([MAGIC, encapsulated(Message.encode(Message.from(schema)))]));
  await writing.catch(async (error: unknown) => {
    await file.abort();
    throw error;
  });
  return {
    async append(rows, columns) {
      const { message, metadataBytes, bodyBytes } = recordBatch(rows, columns, codec);
      blocks.push(new FileBlock(metadataBytes, bodyBytes, position));
      await write(message);
    },
    async finish() {
      const endOfStream = Int32Array.of(-1, 0);
      const footer = Footer.encode(new Footer(schema, MetadataVersion.V5, blocks, []));
      await write(
        Buffer.concat([asBytes(endOfStream), footer, asBytes(Int32Array.of(footer.length)), MAGIC]),
      );
      await writing;
      return { bytes: position, sha256: hash.digest('hex') };
    },
    commit: () => file.commit(),
    async abort() {
      await writing.catch(() => undefined);
      await file.abort();
    },
  };
}

/** The bytes of an Arrow IPC *stream*, piece by piece, uncompressed: what Hugging Face `datasets` maps into memory. */
export interface ArrowStreamEncoder {
  /** The schema's message: the stream's first bytes. */
  readonly head: Uint8Array;
  /** A record batch; its arrays may be reused afterwards. The bytes are valid until the next one. */
  batch(rows: number, columns: readonly ColumnData[]): Uint8Array;
  /** The stream's last bytes. */
  readonly end: Uint8Array;
}

export function arrowStream(schema: Schema): ArrowStreamEncoder {
  let memory = new Uint8Array(0);
  const room = (bytes: number): Uint8Array => {
    if (memory.length < bytes) memory = new Uint8Array(bytes);
    return memory.subarray(0, bytes);
  };
  return {
    head: encapsulated(Message.encode(Message.from(schema))),
    batch: (rows, columns) => recordBatch(rows, columns, undefined, room).message,
    end: asBytes(Int32Array.of(-1, 0)),
  };
}

/** A message's flatbuffer with its continuation mark and length, padded to 8 bytes. */
function encapsulated(flatbuffer: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(8 + flatbuffer.length));
  new Int32Array(bytes.buffer, 0, 2).set([-1, bytes.length - 8]);
  bytes.set(flatbuffer, 8);
  return bytes;
}

/** Memory that is written whole: it need not be cleared first. */
const fresh = (bytes: number): Uint8Array => new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);

/** Pieces one after another, each padded with zeros to 8 bytes. */
function frame(pieces: readonly Uint8Array[], room = fresh): Uint8Array {
  const bytes = room(pieces.reduce((sum, piece) => sum + align(piece.length), 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    const end = at + align(piece.length);
    bytes.fill(0, at + piece.length, end);
    at = end;
  }
  return bytes;
}

function recordBatch(
  rows: number,
  columns: readonly ColumnData[],
  codec: BodyCodec | undefined,
  room = fresh,
) {
  const buffers = columns
    .flatMap((column) => column.buffers)
    .map((view) => (codec && view.byteLength > 0 ? compressBuffer(codec, asBytes(view)) : asBytes(view)));
  let bodyBytes = 0;
  const regions = buffers.map((bytes) => {
    const region = new BufferRegion(bodyBytes, bytes.length);
    bodyBytes += align(bytes.length);
    return region;
  });
  const nodes = columns.flatMap((column) =>
    column.nodes.map((node) => new FieldNode(node.length, node.nulls)),
  );
  const header = new RecordBatch(rows, nodes, regions, codec ? new BodyCompression(codec.type) : null);
  const metadata = encapsulated(Message.encode(Message.from(header, bodyBytes)));
  return { message: frame([metadata, ...buffers], room), metadataBytes: metadata.length, bodyBytes };
}
