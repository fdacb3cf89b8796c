/** A whole object as a stream of bytes, decompressed on the way, in bounded memory. */
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { firstLine, TokensieveError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { BrokenStream } from './broken-stream.js';
import type { ShardFormat } from './shard.js';
import { decompressZstd } from './zstd-stream.js';

const WINDOW_BYTES = 2 ** 20;

/** @throws BrokenStream when decompression fails; TokensieveError when storage does. */
export function decompressed(
  storage: Storage,
  path: string,
  size: number,
  format: Exclude<ShardFormat, 'parquet'>,
): AsyncIterable<Uint8Array> {
  const bytes = readAll(storage, path, size);
  if (format === 'jsonl') return bytes;
  if (format === 'jsonl.gz') return throughZlib(bytes, zlib.createGunzip());
  return decompressZstd(bytes);
}

/** The object in windows, the next one under way while this one is used. */
async function* readAll(
  storage: Storage,
  path: string,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const read = (start: number): Promise<Uint8Array> | null => {
    if (start >= size) return null;
    const bytes = storage.readRange(path, start, Math.min(size, start + WINDOW_BYTES));
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
