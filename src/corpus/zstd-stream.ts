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

/** Largest window accepted: what the zstd command line accepts without further flags. */
const ZSTD_WINDOW_BYTES = 128 * 2 ** 20;
const MAX_BLOCK_BYTES = 128 * 2 ** 10;
const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;

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

/** @throws BrokenStream when the bytes are cut off or no zstd stream. */
export async function* decompressZstd(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
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
    for await (const piece of blocksOf(source)) {
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

async function* blocksOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const input = byteQueue(source);
  const work: Work = { moved: 0, output: 0 };
  while (await input.has(1)) {
    const magic = littleEndian(await input.take(4));
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
      await input.skip(littleEndian(await input.take(4)));
    } else if (magic === MAGIC) {
      yield* decodeFrame(input, work);
    } else {
      throw new BrokenStream(`no zstd frame (it begins with 0x${magic.toString(16)})`);
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

async function* decodeFrame(input: ByteQueue, work: Work): AsyncGenerator<Uint8Array, void, undefined> {
  const [descriptor = 0] = await input.take(1);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if (dictionaryBytes > 0) throw new BrokenStream('the zstd frame needs a dictionary');
  const rest = await input.take((singleSegment ? 0 : 1) + contentSizeBytes);
  const window = singleSegment
    ? littleEndian(rest) + (contentSizeBytes === 2 ? 256 : 0)
    : windowBytes(rest[0] ?? 0);
  if (window > ZSTD_WINDOW_BYTES) {
    throw new BrokenStream(
      `the zstd frame needs a window of ${window} bytes, at most ${ZSTD_WINDOW_BYTES} are given`,
    );
  }
  const output: Uint8Array[] = [];
  const { create64 } = await hashes;
  const hash = create64();
  const decoder = new Decompress((bytes) => {
    hash.update(bytes);
    work.output += bytes.length;
    output.push(bytes);
  });
  const push = (bytes: Uint8Array, final = false): void => {
    try {
      decoder.push(bytes, final);
    } catch (error) {
      throw new BrokenStream(`zstd: ${firstLine(error)}`, { cause: error });
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
  for (let last = false; !last; ) {
    const header = await input.take(3);
    const bits = littleEndian(header);
    last = (bits & 1) === 1;
    const type = (bits >> 1) & 3;
    const size = bits >> 3;
    if (type === 3 || size > MAX_BLOCK_BYTES)
      throw new BrokenStream(`zstd block of type ${type} and ${size} bytes`);
    const block = Buffer.concat([header, await input.take(type === 1 ? 1 : size)]);
    if (waiting === null) pushBlock(block);
    else waiting.push(block);
    possible += type === 2 ? MAX_BLOCK_BYTES : size;
    if (last && possible <= SMALL_FRAME_BYTES) begin(true);
    else if (last || possible > SMALL_FRAME_BYTES || (waiting?.length ?? 0) > MAX_WAITING) begin(false);
    yield* output.splice(0);
  }
  // fzstd holds the last bytes back until it has 18 of a frame, and then expects the checksum to follow.
  const checksum = (descriptor & 4) !== 0 ? await input.take(4) : new Uint8Array(0);
  push(checksum, true);
  yield* output.splice(0);
  if (checksum.length > 0 && Number(hash.digest() & 0xffffffffn) !== littleEndian(checksum)) {
    throw new BrokenStream("zstd: the frame's checksum does not match its bytes");
  }
}

/** RFC 8878, 3.1.1.1.2. */
function windowBytes(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

const littleEndian = (bytes: Uint8Array): number => bytes.reduceRight((value, byte) => value * 256 + byte, 0);

interface ByteQueue {
  has(length: number): Promise<boolean>;
  take(length: number): Promise<Uint8Array>;
  skip(length: number): Promise<void>;
}

function byteQueue(source: AsyncIterable<Uint8Array>): ByteQueue {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  const has = async (length: number): Promise<boolean> => {
    while (held.length < length) {
      const next = await iterator.next();
      if (next.done) return false;
      held = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
    }
    return true;
  };
  const take = async (length: number): Promise<Uint8Array> => {
    if (!(await has(length))) throw new BrokenStream('the zstd stream is cut off');
    const bytes = held.subarray(0, length);
    held = held.subarray(length);
    return bytes;
  };
  return {
    has,
    take,
    async skip(length) {
      for (let left = length; left > 0; ) {
        if (!(await has(1))) throw new BrokenStream('the zstd stream is cut off');
        left -= (await take(Math.min(left, held.length))).length;
      }
    },
  };
}
