/** A whole object as a stream of bytes, decompressed on the way, in bounded memory. */
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { firstLine, TokensieveError } from '../errors.js';
import type { ObjectStat, Storage } from '../storage/storage.js';
import { BrokenStream } from './broken-stream.js';
import type { ShardFormat } from './shard.js';
import { decompressZstd } from './zstd-stream.js';

/** Bytes of one request; two windows are held. */
const WINDOW_BYTES = 4 * 2 ** 20;

/** A stream that gives more than this and grew more than so many times is a bomb; text grows three to ten times. */
const BOMB_BYTES = 2 ** 29;
const BOMB_RATIO = 256;

/**
 * @param version of the object that is read, from `stat`: no other will do
 * @throws BrokenStream when decompression fails; TokensieveError when storage does.
 */
export function decompressed(
  storage: Storage,
  path: string,
  version: ObjectStat,
  format: Exclude<ShardFormat, 'parquet'>,
): AsyncIterable<Uint8Array> {
  if (format === 'jsonl') return readAll(storage, path, version);
  const taken = { bytes: 0 };
  const bytes = counted(readAll(storage, path, version), taken);
  return expanding(
    format === 'jsonl.gz' ? throughZlib(bytes, zlib.createGunzip()) : decompressZstd(bytes),
    taken,
  );
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  taken: { bytes: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const bytes of source) {
    taken.bytes += bytes.length;
    yield bytes;
  }
}

/** Ends a stream that is no text: reading on would cost time in proportion to what comes out, not to the file. */
async function* expanding(
  source: AsyncIterable<Uint8Array>,
  taken: { readonly bytes: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  let given = 0;
  for await (const bytes of source) {
    given += bytes.length;
    if (given > BOMB_BYTES && given > BOMB_RATIO * taken.bytes) {
      throw new BrokenStream(
        `${given} bytes came out of ${taken.bytes}, more than ${BOMB_RATIO} for one, which no text does`,
      );
    }
    yield bytes;
  }
}

/** The object in windows, the next one under way while this one is used. */
async function* readAll(
  storage: Storage,
  path: string,
  version: ObjectStat,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { size } = version;
  const read = (start: number): Promise<Uint8Array> | null => {
    if (start >= size) return null;
    const bytes = storage.readRange(path, start, Math.min(size, start + WINDOW_BYTES), version);
    bytes.catch(() => {});
    return bytes;
  };
  let ahead = read(0);
  for (let start = WINDOW_BYTES; ahead !== null; start += WINDOW_BYTES) {
    const bytes = await ahead;
    ahead = read(start);
    yield bytes;
  }
}

async function* throughZlib(
  source: AsyncIterable<Uint8Array>,
  stream: zlib.Gunzip,
): AsyncGenerator<Uint8Array, void, undefined> {
  // A failing source destroys the stream with the source's own error, and leaving the loop ends the source.
  pipeline(source, stream).catch(() => {});
  try {
    for await (const bytes of stream) yield bytes;
  } catch (error) {
    if (error instanceof TokensieveError) throw error;
    throw new BrokenStream(firstLine(error), { cause: error });
  } finally {
    stream.destroy();
  }
}
