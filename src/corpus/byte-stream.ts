/** A whole object as a stream of bytes, decompressed on the way, in bounded memory. */
import type { ObjectStat, Storage } from '../storage/storage.js';
import { BrokenStream, OtherForm } from './broken-stream.js';
import { type ByteQueue, byteQueue } from './byte-queue.js';
import { FIRST_BYTES, formOfBytes, type StreamForm } from './first-bytes.js';
import { gzipStream } from './gzip-stream.js';
import { zstdStream } from './zstd-stream.js';

/** Bytes of one request; two windows are held. */
const WINDOW_BYTES = 4 * 2 ** 20;

/** A stream that gives more than this and grew more than so many times is a bomb; text grows three to ten times. */
const BOMB_BYTES = 2 ** 29;
const BOMB_RATIO = 256;

/**
 * @param version of the object that is read, from `stat`: no other will do
 * @param named the form that the object's name says; its first bytes decide
 * @throws BrokenStream when decompression fails, OtherForm when the object holds no lines; TokensieveError when storage does.
 */
export async function* decompressed(
  storage: Storage,
  path: string,
  version: ObjectStat,
  named: StreamForm,
): AsyncGenerator<Uint8Array, void, undefined> {
  const input = byteQueue(readAll(storage, path, version));
  try {
    const found = formOfBytes(await input.peek(FIRST_BYTES), named);
    if (found.kind === 'other') throw new OtherForm(`the file is ${found.what}`);
    if (found.form === 'jsonl') yield* plain(input);
    else yield* expanding(found.form === 'jsonl.gz' ? gzipStream(input) : zstdStream(input), input);
  } finally {
    await input.close();
  }
}

async function* plain(input: ByteQueue): AsyncGenerator<Uint8Array, void, undefined> {
  for (let bytes = await input.some(WINDOW_BYTES); bytes !== null; bytes = await input.some(WINDOW_BYTES))
    yield bytes;
}

/** Ends a stream that is no text: reading on would cost time in proportion to what comes out, not to the file. */
async function* expanding(
  source: AsyncIterable<Uint8Array>,
  input: ByteQueue,
): AsyncGenerator<Uint8Array, void, undefined> {
  let given = 0;
  for await (const bytes of source) {
    given += bytes.length;
    const taken = input.position();
    if (given > BOMB_BYTES && given > BOMB_RATIO * taken) {
      throw new BrokenStream(
        `${given} bytes came out of ${taken}, more than ${BOMB_RATIO} for one, which no text does`,
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
