/**
 * The pages of one column chunk, read in windows: memory is bounded by the window and the largest page, however
 * large the row group. The next window is under way while the pages of this one are decoded.
 */
import zlib from 'node:zlib';
import { parquetHeader } from 'hyparquet/src/column.js';
import { firstLine } from '../errors.js';
import type { ObjectStat, Storage } from '../storage/storage.js';
import type { Chunk, ParquetFooter } from './parquet-footer.js';
import { ThriftIncomplete, thriftStructEnd } from './thrift.js';

/** Bytes of one request. */
const WINDOW_BYTES = 4 * 2 ** 20;
/** First bytes in which a page header is looked for; headers with long statistics get more. */
const HEADER_BYTES = 256;
const MAX_HEADER_BYTES = 16 * 2 ** 20;
const MAX_HEADER_VALUES = 1000;

export type PageHeader = ReturnType<typeof parquetHeader>;

/** A page as it lies in the file. `bytes` are still compressed; `broken` says why they must not be used. */
export interface RawPage {
  readonly header: PageHeader;
  readonly bytes: Uint8Array;
  readonly broken: string | null;
}

/** The walk is lost: where the next page begins cannot be told. */
export class LostPages extends Error {}

/** Which file the pages are of. */
type FileVersion = Pick<ParquetFooter, 'path' | 'size' | 'etag'>;

/** Data and dictionary pages in order. @throws LostPages when a header is broken; TokensieveError when reading fails. */
export async function* readPages(
  storage: Storage,
  { path, size, etag }: FileVersion,
  chunk: Chunk,
): AsyncGenerator<RawPage, void, undefined> {
  const input = windows(storage, path, { size, ...(etag !== undefined && { etag }) }, chunk);
  while (input.left() > 0) {
    const header = await nextHeader(input);
    const size = header.compressed_page_size;
    const bytes = await input.take(size);
    if (header.type === 'INDEX_PAGE') continue;
    const crc = header.crc;
    const broken =
      crc !== undefined && zlib.crc32(bytes) !== crc >>> 0 ? 'its checksum does not match its bytes' : null;
    yield { header, bytes, broken };
  }
}

async function nextHeader(input: Windows): Promise<PageHeader> {
  for (let length = HEADER_BYTES; ; length *= 8) {
    const bytes = await input.peek(Math.min(length, input.left()));
    try {
      const end = thriftStructEnd(bytes, 0, MAX_HEADER_VALUES);
      const header = parquetHeader({ view: new DataView(bytes.buffer, bytes.byteOffset, end), offset: 0 });
      const size: unknown = header.compressed_page_size;
      if (header.type === undefined || !(typeof size === 'number' && size >= 0)) {
        throw new LostPages(`page header of type ${header.type} claims ${size} bytes`);
      }
      await input.take(end);
      if (size > input.left())
        throw new LostPages(`page header claims ${size} bytes, the chunk has ${input.left()} left`);
      return header;
    } catch (error) {
      if (error instanceof ThriftIncomplete && bytes.length < input.left() && length < MAX_HEADER_BYTES)
        continue;
      if (error instanceof LostPages || !(error instanceof Error)) throw error;
      throw new LostPages(`page header cannot be read (${firstLine(error)})`);
    }
  }
}

/** A reader of consecutive bytes. `take` moves on, `peek` does not; neither goes past `left()`. */
interface Windows {
  left(): number;
  peek(length: number): Promise<Uint8Array>;
  take(length: number): Promise<Uint8Array>;
}

function windows(storage: Storage, path: string, version: ObjectStat, { start, end }: Chunk): Windows {
  let held: Uint8Array = new Uint8Array(0);
  let at = 0;
  let consumed = 0;
  let fetched = start;
  let ahead: Promise<Uint8Array> | null = null;

  const fetchNext = (length: number): Promise<Uint8Array> => {
    const from = fetched;
    fetched = Math.min(end, from + length);
    const bytes = storage.readRange(path, from, fetched, version);
    // Failures are met when the bytes are asked for, if they ever are.
    bytes.catch(() => {});
    return bytes;
  };
  const fill = async (length: number): Promise<void> => {
    if (held.length - at >= length) return;
    const rest = held.subarray(at);
    const next = await (ahead ?? fetchNext(WINDOW_BYTES));
    ahead = null;
    let have = rest.length + next.length;
    if (have >= length) held = rest.length === 0 ? next : Buffer.concat([rest, next], have);
    else {
      // Of a page of hundreds of megabytes no second copy is made.
      const whole = new Uint8Array(length);
      whole.set(rest);
      whole.set(next, rest.length);
      while (have < length) {
        const piece: Uint8Array = await (ahead ?? fetchNext(Math.min(WINDOW_BYTES, length - have)));
        const left = length - have - piece.length;
        ahead = left > 0 ? fetchNext(Math.min(WINDOW_BYTES, left)) : null;
        whole.set(piece, have);
        have += piece.length;
      }
      held = whole;
    }
    at = 0;
    if (fetched < end) ahead = fetchNext(WINDOW_BYTES);
  };
  const peek = async (length: number): Promise<Uint8Array> => {
    await fill(length);
    return held.subarray(at, at + length);
  };
  return {
    left: () => end - start - consumed,
    peek,
    take: async (length) => {
      const bytes = await peek(length);
      at += length;
      consumed += length;
      return bytes;
    },
  };
}
