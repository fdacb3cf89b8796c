/**
 * Decompression of one page into exactly the size its header claims, never allocating more than the compressed
 * bytes can hold. Node's own zlib where it has the codec (gzip 650 MB/s against 150 for a JavaScript one), hysnappy and
 * zstddec (libzstd) as WebAssembly. LZ4 blocks are decoded here: readers in JavaScript take a cut-off one for zeros.
 */
import zlib from 'node:zlib';
import { snappyUncompress, snappyUncompressor } from 'hysnappy';
import { ZSTDDecoder } from 'zstddec';

const LARGE_PAGE_BYTES = 2 ** 26;
/** A page's size is a signed integer of 32 bits. */
const MAX_PAGE_BYTES = 2 ** 31 - 1;
/** Pages up to this size are read from any file, larger ones where the file has a share of it. */
const PAGE_BYTES = 2 ** 29;
const PAGE_RATIO = 16;

/**
 * Largest page, uncompressed, that is read of a file. Writers aim at 1 MB, but parquet-mr and Arrow look at it only after every hundredth or
 * 1024th value, so that books of 300 kB make pages of 300 MB; a small file that claims more is a bomb.
 * @param setting takes the place of the rule
 */
export const pageLimit = (fileBytes: number, setting?: number): number =>
  setting ?? Math.min(MAX_PAGE_BYTES, Math.max(PAGE_BYTES, PAGE_RATIO * fileBytes));

/** The decoder's memory ends at 2 GiB, and it does not ask whether it got what it wants. */
const ZSTD_HEAP_BYTES = 2 ** 31 - 2 ** 26;
const zstd = new ZSTDDecoder();
const usualSnappy = snappyUncompressor();

/** To be awaited once before `decompress` is called. */
export const codecsReady = (): Promise<void> => zstd.init();

/** @throws Error when the bytes do not decompress to exactly `size` bytes, or these are more than `most`. */
export function decompress(codec: string, input: Uint8Array, size: number, most: number): Uint8Array {
  if (!(size >= 0 && size <= most)) {
    throw new Error(
      `page of ${size} bytes uncompressed, at most ${most} are read of this file (corpus.max_page_bytes)`,
    );
  }
  // Pages of nulls alone carry no bytes, whatever the codec.
  if (size === 0) return new Uint8Array(0);
  const output = codec === 'UNCOMPRESSED' ? input : decoderOf(codec)(input, size);
  if (output.length !== size)
    throw new Error(`page of ${output.length} bytes uncompressed, its header says ${size}`);
  return output;
}

type Decoder = (input: Uint8Array, size: number) => Uint8Array;

function decoderOf(codec: string): Decoder {
  const decoder = DECODERS[codec];
  if (!decoder) throw new Error(`${codec} compression is not supported`);
  return decoder;
}

const DECODERS: Readonly<Record<string, Decoder | undefined>> = {
  SNAPPY: snappy,
  GZIP: (input, size) => zlib.unzipSync(input, { maxOutputLength: size, chunkSize: chunkSize(size) }),
  BROTLI: (input, size) =>
    zlib.brotliDecompressSync(input, { maxOutputLength: size, chunkSize: chunkSize(size) }),
  ZSTD: (input, size) => {
    atMost(input, size, 2 ** 15);
    if (input.length + size > ZSTD_HEAP_BYTES)
      throw new Error(`zstd page of ${size} bytes, more than its decoder holds`);
    return zstd.decode(input, size);
  },
  LZ4: (input, size) => hadoopLz4(input, size) ?? lz4Block(input, size),
  LZ4_RAW: lz4Block,
};

/** zlib grows its output by chunks as data really comes, so a small page with a large claim costs one chunk. */
const chunkSize = (size: number): number => Math.min(Math.max(size, 64), 2 ** 20);

/** Refuses a claim that no input of this length can meet, before memory is allocated for it. */
function atMost(input: Uint8Array, size: number, ratio: number): void {
  if (size > input.length * ratio + 2 ** 10) {
    throw new Error(`page claims ${size} bytes uncompressed, its ${input.length} bytes cannot hold that`);
  }
}

function snappy(input: Uint8Array, size: number): Uint8Array {
  atMost(input, size, 32);
  let claimed = 0;
  for (let i = 0, unit = 1; ; i++, unit *= 128) {
    const byte = input[i];
    if (byte === undefined || i > 4) throw new Error('snappy block without a length');
    claimed += (byte & 0x7f) * unit;
    if (byte < 0x80) break;
  }
  // The WebAssembly decoder writes as much as the block itself claims.
  if (claimed !== size) throw new Error(`snappy block of ${claimed} bytes, the page header says ${size}`);
  // The usual decoder keeps the memory that its largest page took; one made for a large page is let go with it.
  return size > LARGE_PAGE_BYTES ? snappyUncompress(input, size) : usualSnappy(input, size);
}

/** Hadoop's framing: blocks with big-endian sizes before each. Null when the bytes are not framed so. */
function hadoopLz4(input: Uint8Array, size: number): Uint8Array | null {
  atMost(input, size, 256);
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const output = new Uint8Array(size);
  let from = 0;
  let to = 0;
  while (from < input.length) {
    if (from + 8 > input.length) return null;
    const blockSize = view.getUint32(from);
    const length = view.getUint32(from + 4);
    from += 8;
    if (length > input.length - from || blockSize > size - to) return null;
    try {
      lz4Into(input.subarray(from, from + length), output.subarray(to, to + blockSize));
    } catch {
      return null;
    }
    from += length;
    to += blockSize;
  }
  return to === size ? output : null;
}

function lz4Block(input: Uint8Array, size: number): Uint8Array {
  atMost(input, size, 256);
  const output = new Uint8Array(size);
  lz4Into(input, output);
  return output;
}

/** One LZ4 block that fills `output` exactly. https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function lz4Into(input: Uint8Array, output: Uint8Array): void {
  let from = 0;
  let to = 0;
  const next = (): number => {
    const byte = input[from++];
    if (byte === undefined) throw new Error('LZ4 block is cut off');
    return byte;
  };
  const extended = (length: number): number => {
    let total = length;
    if (length === 15) {
      for (let byte = 255; byte === 255; total += byte) byte = next();
    }
    return total;
  };
  while (from < input.length) {
    const token = next();
    const literals = extended(token >> 4);
    if (literals > input.length - from || literals > output.length - to)
      throw new Error('LZ4 literals run past the end');
    output.set(input.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === input.length) break;
    const distance = next() | (next() << 8);
    const match = extended(token & 15) + 4;
    if (distance === 0 || distance > to || match > output.length - to)
      throw new Error('LZ4 match is out of range');
    if (distance >= match) output.copyWithin(to, to - distance, to - distance + match);
    else for (let i = 0; i < match; i++) output[to + i] = output[to + i - distance] ?? 0;
    to += match;
  }
  if (to !== output.length) throw new Error(`LZ4 block of ${to} bytes, expected ${output.length}`);
}
