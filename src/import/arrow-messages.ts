/**
 * Arrow IPC, file or stream, from anybody. A stream's messages come one after another to its end mark or the end of the file;
 * those of a file are where its footer says (Polars writes no schema message before them). Nothing that was cut off reads as
 * fewer rows.
 */
import { Message } from 'apache-arrow/fb/message';
import { Schema as SchemaTable } from 'apache-arrow/fb/schema';
import { ByteBuffer } from 'flatbuffers';
import { type BatchHeader, checkSchemaSize, decodeBatchHeader } from '../dataset/arrow-footer.js';
import { firstLine, inputError, TokensieveError } from '../errors.js';
import type { ObjectStat, Storage } from '../storage/storage.js';
import { type MessageBlock, readFooter } from './arrow-blocks.js';
import { type ArrowLayout, layoutOf } from './arrow-schema.js';

/** Largest message header that is read. */
const MAX_HEADER_BYTES = 1 << 26;
const FILE_MAGIC = 'ARROW1';
/** Of MessageHeader in the format. */
const KIND = { schema: 1, dictionaryBatch: 2, recordBatch: 3 } as const;

/** A record batch, its body still in the file. */
export interface BatchAt {
  readonly header: BatchHeader;
  readonly bodyStart: number;
}

/** A message, its body still in the file: bytes [at, end). */
interface MessageAt {
  readonly at: number;
  readonly message: Message;
  /** Of the header. */
  readonly bytes: Uint8Array;
  readonly bodyStart: number;
  readonly body: number;
  readonly end: number;
}

export interface ArrowMessages {
  readonly layout: ArrowLayout;
  batches(): AsyncGenerator<BatchAt>;
  /** The object as it was when it was opened. */
  readonly version: ObjectStat;
}

/**
 * Opens a file or stream at its schema.
 * @throws TokensieveError (input) `arrow-corrupt`, `arrow-type`; also while batches are read
 */
export async function openArrowMessages(storage: Storage, path: string): Promise<ArrowMessages> {
  const version = await storage.stat(path);
  const { size } = version;
  const refuse = (what: string): TokensieveError =>
    inputError('arrow-corrupt', `${path}: ${what}; write it again`);
  const guard = <T>(parse: () => T): T => {
    try {
      return parse();
    } catch (error) {
      if (error instanceof TokensieveError && error.code === 'arrow-type') throw error;
      throw refuse(firstLine(error));
    }
  };
  const read = (start: number, end: number): Promise<Uint8Array> =>
    storage.readRange(path, start, end, version);
  const isFile = size >= 16 && Buffer.from(await read(0, 6)).toString('latin1') === FILE_MAGIC;
  if (isFile && Buffer.from(await read(size - 6, size)).toString('latin1') !== FILE_MAGIC) {
    throw refuse('no Arrow magic at the end: the file is truncated');
  }

  /** The message at a byte, its prefix included; null at the end of a stream. */
  const messageAt = async (at: number): Promise<MessageAt | null> => {
    if (at === size && !isFile) return null;
    if (at + 4 > size) throw refuse(`a message begins at byte ${at}, the file ends at ${size}`);
    const prefix = new DataView(new Uint8Array(await read(at, Math.min(size, at + 8))).buffer);
    // Writers before 0.15 left the continuation mark out.
    const marked = prefix.getInt32(0, true) === -1;
    if (marked && prefix.byteLength < 8) throw refuse('it ends within a message');
    const length = prefix.getInt32(marked ? 4 : 0, true);
    if (length === 0) return null;
    const start = at + (marked ? 8 : 4);
    if (length < 0 || length > MAX_HEADER_BYTES || start + length > size) {
      throw refuse(`a message at byte ${at} claims a header of ${length} bytes`);
    }
    const bytes = await read(start, start + length);
    const message = guard(() => Message.getRootAsMessage(new ByteBuffer(bytes)));
    const body = Number(guard(() => message.bodyLength()));
    const end = start + length + body;
    if (!(body >= 0) || end > size) throw refuse(`a message at byte ${at} claims a body of ${body} bytes`);
    return { at, message, bytes, bodyStart: start + length, body, end };
  };

  const schemaOf = (table: SchemaTable | null, bytes: number): ArrowLayout => {
    if (table === null) throw new Error('it does not begin with a schema; expected Arrow IPC');
    if (table.endianness() !== 0) throw new Error('it is big-endian; expected little-endian');
    checkSchemaSize(table, bytes);
    return layoutOf(table, path);
  };
  const openFile = async (): Promise<{ layout: ArrowLayout; messages: Iterable<MessageBlock> }> => {
    const tail = new DataView(new Uint8Array(await read(size - 10, size - 6)).buffer);
    const length = tail.getInt32(0, true);
    const start = size - 10 - length;
    if (length < 8 || length > MAX_HEADER_BYTES || start < 8) {
      throw refuse(`it claims a footer of ${length} bytes`);
    }
    const bytes = await read(start, size - 10);
    return guard(() => {
      const { schema, batches } = readFooter(bytes, start);
      return { layout: schemaOf(schema, bytes.length), messages: batches };
    });
  };
  const openStream = async () => {
    const first = await messageAt(0);
    return guard(() => {
      const table: SchemaTable | null =
        first !== null && (first.message.headerType() as number) === KIND.schema
          ? first.message.header(new SchemaTable())
          : null;
      return { layout: schemaOf(table, first?.bytes.length ?? 0), start: first?.end ?? 0 };
    });
  };
  const opened = isFile ? await openFile() : await openStream();

  async function* messages(): AsyncGenerator<MessageAt> {
    if ('start' in opened) {
      for (let next = await messageAt(opened.start); next !== null; next = await messageAt(next.end))
        yield next;
      return;
    }
    for (const { start, end } of opened.messages) {
      const message = await messageAt(start);
      if (message?.end !== end)
        throw refuse(`the message at byte ${start} does not end at ${end}, as its footer says`);
      yield message;
    }
  }

  return {
    layout: opened.layout,
    version,
    async *batches() {
      const { nodes, buffers } = opened.layout;
      for await (const { at, message, bytes, bodyStart, body } of messages()) {
        const kind = message.headerType() as number;
        if (kind === KIND.recordBatch) {
          const block = { offset: at, metadataBytes: bytes.length + 8, bodyBytes: body };
          const header = guard(() => decodeBatchHeader(framed(bytes), block, nodes, buffers));
          yield { header, bodyStart };
        } else if (kind !== KIND.dictionaryBatch || isFile)
          throw refuse(`a message of type ${kind} among the record batches`);
      }
    },
  };
}

/** The header with the prefix that `decodeBatchHeader` wants before it. */
function framed(bytes: Uint8Array): Uint8Array {
  const message = new Uint8Array(8 + bytes.length);
  const view = new DataView(message.buffer);
  view.setInt32(0, -1, true);
  view.setInt32(4, bytes.length, true);
  message.set(bytes, 8);
  return message;
}
