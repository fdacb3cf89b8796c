/** An Arrow IPC stream as it comes out of a pipe, from a program that may be broken: nothing is taken that is larger than asked for. */
import { MessageHeader, type MetadataVersion } from 'apache-arrow/enum';
import { Message } from 'apache-arrow/fb/message';
import { Schema as SchemaTable } from 'apache-arrow/fb/schema';
import 'apache-arrow/ipc/metadata/message';
import type { Schema } from 'apache-arrow/schema';
import { Schema as ArrowSchema } from 'apache-arrow/schema';
import { ByteBuffer } from 'flatbuffers';
import { type BatchHeader, checkSchemaSize, decodeBatchHeader } from '../dataset/arrow-footer.js';

/** Longest header of a message. */
const MAX_HEADER = 1 << 20;

/** Bytes by count, in order. */
export interface ByteSource {
  /** Exactly `count` bytes, or fewer where the stream ends. */
  read(count: number): Promise<Uint8Array>;
  /** Lets go of all that still comes. */
  drain(): Promise<void>;
}

/** Takes what comes from a stream, and lets it come only as far as somebody reads. */
export function byteSource(stream: AsyncIterable<Uint8Array>): ByteSource {
  const chunks = stream[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  return {
    async read(count) {
      const pieces: Uint8Array[] = [];
      let missing = count;
      while (missing > 0) {
        if (rest.length === 0) {
          const next = await chunks.next();
          if (next.done === true) break;
          rest = next.value;
          continue;
        }
        const piece = rest.subarray(0, missing);
        rest = rest.subarray(piece.length);
        missing -= piece.length;
        pieces.push(piece);
      }
      return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
    },
    async drain() {
      rest = new Uint8Array(0);
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next());
    },
  };
}

interface RawMessage {
  readonly header: Uint8Array;
  readonly message: Message;
  readonly bodyBytes: number;
}

/** The next message's header; null at the stream's end. Throws plain errors that say what was found. */
async function nextMessage(source: ByteSource): Promise<RawMessage | null> {
  const prefix = await source.read(8);
  if (prefix.length === 0) return null;
  if (prefix.length < 8) throw new Error('its stream ends within a message');
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const [mark, length] = [view.getInt32(0, true), view.getInt32(4, true)];
  if (mark !== -1) {
    const begin = Buffer.from(prefix)
      .toString('latin1')
      .replace(/[^ -~]/g, '.');
    throw new Error(`its standard output is no Arrow stream: a message begins with "${begin}"`);
  }
  if (length === 0) return null;
  if (length < 0 || length > MAX_HEADER) throw new Error(`a message claims a header of ${length} bytes`);
  const header = await source.read(length);
  if (header.length < length) throw new Error('its stream ends within a message');
  const message = Message.getRootAsMessage(new ByteBuffer(header));
  return { header, message, bodyBytes: Number(message.bodyLength()) };
}

/** The stream's schema; null where it ends before one. */
export async function readSchema(source: ByteSource): Promise<Schema | null> {
  const found = await nextMessage(source);
  if (found === null) return null;
  const { message, header } = found;
  if ((message.headerType() as number) !== MessageHeader.Schema)
    throw new Error('its stream does not begin with a schema');
  const table: SchemaTable | null = message.header(new SchemaTable());
  if (table === null) throw new Error('its schema is empty');
  checkSchemaSize(table, header.length);
  return ArrowSchema.decode(table, new Map(), message.version() as number as MetadataVersion);
}

export interface BatchMessage {
  readonly header: BatchHeader;
  readonly body: Uint8Array;
}

/**
 * The next record batch; null at the stream's end.
 * @param nodes @param buffers of the schema @param limit most bytes that its body may have
 */
export async function readBatch(
  source: ByteSource,
  { nodes, buffers, limit }: { readonly nodes: number; readonly buffers: number; readonly limit: number },
): Promise<BatchMessage | null> {
  const found = await nextMessage(source);
  if (found === null) return null;
  const { header: bytes, bodyBytes } = found;
  if (!(bodyBytes >= 0) || bodyBytes > limit) {
    throw new Error(`an answer claims ${bodyBytes} bytes; at most ${limit} were asked for`);
  }
  const framed = new Uint8Array(8 + bytes.length);
  new DataView(framed.buffer).setInt32(0, -1, true);
  new DataView(framed.buffer).setInt32(4, bytes.length, true);
  framed.set(bytes, 8);
  const header = decodeBatchHeader(
    framed,
    { offset: 0, metadataBytes: framed.length, bodyBytes },
    nodes,
    buffers,
  );
  if (header.compression !== undefined) throw new Error('an answer is compressed; expected plain buffers');
  const body = await source.read(bodyBytes);
  if (body.length < bodyBytes) throw new Error('its stream ends within an answer');
  return { header, body };
}
