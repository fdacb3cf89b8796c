/**
 * zstd streams (Node 20's zlib has none): fzstd decodes the blocks, and this walk over the frames guards it.
 * fzstd allocates whatever window a frame asks for and moves all of it with every block, cannot tell a stream cut between two blocks from a whole one,
 * and does not verify checksums, so that a flipped bit would pass as other text.
 * Source: RFC 8878, section 3.1.
 */
import { Decompress } from 'fzstd';
import xxhash from 'xxhash-wasm';
import { firstLine } from '../errors.js';
import { BrokenStream } from './broken-stream.js';
import { type ByteQueue, byteQueue } from './byte-queue.js';

/** Largest window accepted: what the zstd command line accepts without further flags. */
const ZSTD_WINDOW_BYTES = 128 * 2 ** 20;
const MAX_BLOCK_BYTES = 128 * 2 ** 10;
const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;

const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === SKIPPABLE;
const isFrame = (magic: number): boolean => magic === MAGIC || isSkippable(magic);

const hashes = xxhash();

/** Output that is given out together: a block may be one byte, and an array of its own takes two hundred. */
const OUTPUT_BYTES = 1 << 16;
/**
 * Bytes of windows that may be moved: this many, and so many for each byte of output. Twenty kilobytes of empty blocks
 * would otherwise keep a window of 128 MiB moving for minutes.
 */
const MOVED_BYTES = 2 ** 33;
const MOVED_PER_BYTE = 2 ** 12;
/** Blocks that wait for that: some kilobytes of the stream. */
const MAX_WAITING = 4096;
/** Arrays that are joined at once. */
const OUTPUT_PIECES = 4096;
/** Output that a frame must be able to give before it gets the whole window it asks for. */
const SMALL_FRAME_BYTES = 1 << 20;

/** @throws BrokenStream as `zstdStream` */
export const decompressZstd = (
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> => zstdStream(byteQueue(source));

/** @throws BrokenStream with the byte of the file at which it is cut off, corrupt, or no zstd any more. */
export async function* zstdStream(input: ByteQueue): AsyncGenerator<Uint8Array, void, undefined> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  const take = (): Uint8Array => {
    const [first] = pieces;
    const joined = pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces, bytes);
    pieces = [];
    bytes = 0;
    return joined;
  };
  try {
    for await (const piece of blocksOf(input)) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes >= OUTPUT_BYTES || pieces.length >= OUTPUT_PIECES) yield take();
    }
  } catch (error) {
    // Everything before the break is given out.
    if (bytes > 0) yield take();
    throw error;
  }
  if (bytes > 0) yield take();
}

async function* blocksOf(input: ByteQueue): AsyncGenerator<Uint8Array, void, undefined> {
  if (!(await input.has(1))) throw new BrokenStream('no zstd frame at byte 0 (the file is empty)');
  const work: Work = { moved: 0, output: 0 };
  for (let frames = 0; await input.has(1); frames++) {
    const start = input.position();
    const magic = littleEndian(await input.peek(4));
    if (frames > 0 && !isFrame(magic)) {
      const found = Buffer.from(await input.peek(8)).toString('hex');
      throw new BrokenStream(
        `bytes that are no zstd frame follow the last one, from byte ${start} on (${found})`,
        {
          whole: true,
        },
      );
    }
    await input.take(4);
    if (isSkippable(magic)) {
      await input.skip(littleEndian(await input.take(4)));
    } else if (magic === MAGIC) {
      yield* decodeFrame(input, work, start);
    } else {
      throw new BrokenStream(`no zstd frame at byte ${start} (it begins with 0x${magic.toString(16)})`);
    }
  }
}

/** What decoding has cost so far, over all frames. */
interface Work {
  moved: number;
  output: number;
}

function spend(work: Work, bytes: number): void {
  work.moved += bytes;
  if (work.moved <= MOVED_BYTES + MOVED_PER_BYTE * work.output) return;
  throw new BrokenStream('zstd blocks so small, under a window so large, that decoding them takes hours');
}

async function* decodeFrame(
  input: ByteQueue,
  work: Work,
  start: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const [descriptor = 0] = await input.take(1);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if (dictionaryBytes > 0) throw new BrokenStream(`the zstd frame at byte ${start} needs a dictionary`);
  const rest = await input.take((singleSegment ? 0 : 1) + contentSizeBytes);
  const window = singleSegment ? (contentSize(rest) ?? 0) : windowBytes(rest[0] ?? 0);
  if (window > ZSTD_WINDOW_BYTES) {
    throw new BrokenStream(
      `the zstd frame at byte ${start} needs a window of ${window} bytes, at most ${ZSTD_WINDOW_BYTES} are given`,
    );
  }
  const claimed = contentSize(rest.subarray(singleSegment ? 0 : 1));
  const output: Uint8Array[] = [];
  let given = 0;
  const { create64 } = await hashes;
  const hash = create64();
  const decoder = new Decompress((bytes) => {
    hash.update(bytes);
    work.output += bytes.length;
    given += bytes.length;
    output.push(bytes);
  });
  const push = (bytes: Uint8Array, final = false): void => {
    try {
      decoder.push(bytes, final);
    } catch (error) {
      throw new BrokenStream(`zstd: ${firstLine(error)}, before byte ${input.position()}`, { cause: error });
    }
  };
  const magic = [0x28, 0xb5, 0x2f, 0xfd, descriptor];
  // Blocks that wait until it is known how large a window the frame can need at all.
  let waiting: Uint8Array[] | null = [];
  let possible = 0;
  let moving = window;
  const pushBlock = (block: Uint8Array): void => {
    spend(work, moving);
    push(block);
  };
  const begin = (whole: boolean): void => {
    if (waiting === null) return;
    // What a frame holds in all is as far as it can look back: a descriptor e << 3 asks for 2^(10 + e) bytes.
    const exponent = Math.max(0, Math.ceil(Math.log2(Math.max(1, possible))) - 10);
    const smaller = whole && !singleSegment && 2 ** (10 + exponent) < window;
    if (smaller) moving = 2 ** (10 + exponent);
    spend(work, moving);
    push(Uint8Array.from([...magic, ...(smaller ? [exponent << 3, ...rest.subarray(1)] : rest)]));
    for (const block of waiting.splice(0)) pushBlock(block);
    waiting = null;
  };
  try {
    for (let last = false; !last; ) {
      const header = await input.take(3);
      const bits = littleEndian(header);
      last = (bits & 1) === 1;
      const type = (bits >> 1) & 3;
      const size = bits >> 3;
      if (type === 3 || size > MAX_BLOCK_BYTES)
        throw new BrokenStream(
          `zstd block of type ${type} and ${size} bytes before byte ${input.position()}`,
        );
      const block = Buffer.concat([header, await input.take(type === 1 ? 1 : size)]);
      if (waiting === null) pushBlock(block);
      else waiting.push(block);
      possible += type === 2 ? MAX_BLOCK_BYTES : size;
      if (last && possible <= SMALL_FRAME_BYTES) begin(true);
      else if (last || possible > SMALL_FRAME_BYTES || (waiting?.length ?? 0) > MAX_WAITING) begin(false);
      yield* output.splice(0);
    }
  } catch (error) {
    // Everything before the break is given out, blocks that still wait too.
    try {
      begin(false);
    } catch {
      // The first failure is the one to tell.
    }
    yield* output.splice(0);
    throw error;
  }
  // fzstd holds the last bytes back until it has 18 of a frame, and then expects the checksum to follow.
  const checksum = (descriptor & 4) !== 0 ? await input.take(4) : new Uint8Array(0);
  push(checksum, true);
  yield* output.splice(0);
  if (claimed !== null && given !== claimed) {
    throw new BrokenStream(`zstd: the frame at byte ${start} has ${given} bytes and says ${claimed}`);
  }
  if (checksum.length > 0 && Number(hash.digest() & 0xffffffffn) !== littleEndian(checksum)) {
    throw new BrokenStream(`zstd: the checksum of the frame at byte ${start} does not match its bytes`);
  }
}

/** RFC 8878, 3.1.1.1.4: of two bytes, the smallest size is 256. */
const contentSize = (bytes: Uint8Array): number | null =>
  bytes.length === 0 ? null : littleEndian(bytes) + (bytes.length === 2 ? 256 : 0);

/** RFC 8878, 3.1.1.1.2. */
function windowBytes(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

const littleEndian = (bytes: Uint8Array): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);
