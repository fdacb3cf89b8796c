/** The footer of an Arrow file from anybody: its schema, and where its record batches lie. */
import type { Block as BlockTable } from 'apache-arrow/fb/block';
import { Footer } from 'apache-arrow/fb/footer';
import type { Schema as SchemaTable } from 'apache-arrow/fb/schema';
import { ByteBuffer } from 'flatbuffers';

/** Bytes of a message, its prefix, header and body. */
export interface MessageBlock {
  readonly start: number;
  readonly end: number;
}

/** Writers align messages to 8 or 64 bytes, and end the last with a mark of 8. */
const MOST_PADDING = 128;

/**
 * The footer's schema and record batches in its order. Its blocks, dictionaries among them, must lie one after another and come to
 * the footer: a damaged count cannot lose rows unseen.
 * @param bytes the footer's flatbuffer, which begins at `footerStart`
 * @throws Error in words
 */
export function readFooter(
  bytes: Uint8Array,
  footerStart: number,
): { readonly schema: SchemaTable | null; readonly batches: readonly MessageBlock[] } {
  const footer = Footer.getRootAsFooter(new ByteBuffer(bytes));
  const counts = [footer.recordBatchesLength(), footer.dictionariesLength()];
  // 24 bytes each.
  if (counts.some((count) => count < 0 || count > bytes.length / 24)) {
    throw new Error(`its footer claims ${counts.join(' and ')} messages`);
  }
  const [batchCount = 0, dictionaryCount = 0] = counts;
  const blockOf = (table: BlockTable | null): MessageBlock => {
    const [start, metadata, body] = [table?.offset(), table?.metaDataLength(), table?.bodyLength()].map(
      Number,
    );
    const end = (start ?? Number.NaN) + (metadata ?? Number.NaN) + (body ?? Number.NaN);
    if (
      start !== undefined &&
      start >= 8 &&
      (metadata ?? 0) >= 8 &&
      (body ?? -1) >= 0 &&
      end <= footerStart
    ) {
      return { start, end };
    }
    throw new Error(
      `its footer tells of a message from byte ${start} to ${end}; it begins at ${footerStart}`,
    );
  };
  const batches = Array.from({ length: batchCount }, (_, i) => blockOf(footer.recordBatches(i)));
  const others = Array.from({ length: dictionaryCount }, (_, i) => blockOf(footer.dictionaries(i)));
  const all = [...batches, ...others].sort((a, b) => a.start - b.start);
  for (const [i, { start, end }] of all.entries()) {
    const next = all[i + 1]?.start ?? footerStart;
    if (next >= end && next - end <= MOST_PADDING) continue;
    throw new Error(`a message of bytes ${start} to ${end} is followed by byte ${next} in its footer`);
  }
  return { schema: footer.schema(), batches };
}
