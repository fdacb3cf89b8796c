import { CompressionType } from 'apache-arrow/fb/compression-type';
import { firstLine, inputError, usageError } from '../errors.js';

/** Compression of the buffers of Arrow files, as the Arrow format defines it (zstd, or lz4 frames). */
export type Compression = 'none' | 'zstd' | 'lz4';

export interface BodyCodec {
  readonly type: CompressionType;
  encode(bytes: Uint8Array): Uint8Array;
  /** The `length` bytes that were compressed. Anything else in there is an input error, before memory is taken. */
  decode(bytes: Uint8Array, length: number): Uint8Array;
}

/** The compression that an Arrow message asks for by number. Throws an input error for an unknown one. */
export function compressionOf(type: number | undefined): Compression {
  if (type === undefined) return 'none';
  if (type === CompressionType.ZSTD) return 'zstd';
  if (type === CompressionType.LZ4_FRAME) return 'lz4';
  throw inputError('arrow-corrupt', `compression ${type}; expected 0 (lz4 frame) or 1 (zstd)`);
}

const missing = (library: string) => (error: unknown) => {
  throw usageError(
    'codec-missing',
    `${library} does not load here (${firstLine(error)}); write with another compression, or reinstall the package`,
    { cause: error },
  );
};

// One level above the fastest negative ones: losses are nearly random bits, and higher levels gain nothing.
const ZSTD_LEVEL = 1;
let zstdReady: Promise<typeof import('@bokuweb/zstd-wasm')> | undefined;

async function loadZstd(): Promise<BodyCodec> {
  zstdReady ??= import('@bokuweb/zstd-wasm').then(async (library) => {
    await library.init();
    return library;
  });
  const zstd = await zstdReady.catch(missing('@bokuweb/zstd-wasm'));
  return {
    type: CompressionType.ZSTD,
    encode: (bytes) => zstd.compress(bytes, ZSTD_LEVEL),
    decode(bytes, length) {
      // The library takes as much memory as the frame's header claims: check the claim first.
      checkLength('zstd frame', zstdContentSize(bytes), length);
      return checkDecoded('zstd', () => zstd.decompress(bytes), length);
    },
  };
}

async function loadLz4(): Promise<BodyCodec> {
  const { default: lz4 } = await import('lz4-napi').catch(missing('lz4-napi'));
  const asBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    type: CompressionType.LZ4_FRAME,
    encode: (bytes) => lz4.compressFrameSync(asBuffer(bytes)),
    // An lz4 block grows at most 255-fold, so memory is bounded by the bytes that were read.
    decode: (bytes, length) => checkDecoded('lz4', () => lz4.decompressFrameSync(asBuffer(bytes)), length),
  };
}

function checkDecoded(name: string, decode: () => Uint8Array, length: number): Uint8Array {
  let decoded: Uint8Array;
  try {
    decoded = decode();
  } catch (error) {
    throw inputError('arrow-corrupt', `a buffer does not decompress as ${name} (${firstLine(error)})`, {
      cause: error,
    });
  }
  checkLength(`${name} buffer`, decoded.length, length);
  return decoded;
}

function checkLength(what: string, found: number, expected: number): void {
  if (found !== expected)
    throw inputError('arrow-corrupt', `a ${what} holds ${found} bytes; expected ${expected}`);
}

/** Bytes that a zstd frame says it holds (RFC 8878, 3.1.1.1); −1 where it does not say. */
export function zstdContentSize(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 6 || view.getUint32(0, true) !== 0xfd2fb528) return -1;
  const descriptor = frame[4] as number;
  const singleSegment = (descriptor >> 5) & 1;
  const sizeFlag = descriptor >> 6;
  const at = 5 + (1 - singleSegment) + ([0, 1, 2, 4][descriptor & 3] as number);
  const bytes = sizeFlag === 0 ? singleSegment : 1 << sizeFlag;
  if (bytes === 0 || frame.length < at + bytes) return -1;
  if (bytes === 1) return view.getUint8(at);
  if (bytes === 2) return view.getUint16(at, true) + 256;
  return bytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

/** Compresses a buffer as Arrow stores it: 8 bytes of uncompressed length, or −1 and the bytes as they are. */
export function compressBuffer(codec: BodyCodec, bytes: Uint8Array): Uint8Array {
  const compressed = codec.encode(bytes);
  const stored = compressed.length < bytes.length ? compressed : bytes;
  const buffer = new Uint8Array(8 + stored.length);
  new DataView(buffer.buffer).setBigInt64(0, stored === bytes ? -1n : BigInt(bytes.length), true);
  buffer.set(stored, 8);
  return buffer;
}

/** Undoes `compressBuffer`. Throws an input error unless exactly `length` bytes come out. */
export function decompressBuffer(codec: BodyCodec, stored: Uint8Array, length: number): Uint8Array {
  if (stored.length < 8)
    throw inputError('arrow-corrupt', `a compressed buffer has ${stored.length} bytes; expected 8 or more`);
  const claimed = new DataView(stored.buffer, stored.byteOffset).getBigInt64(0, true);
  const body = stored.subarray(8);
  checkLength('compressed buffer', claimed === -1n ? body.length : Number(claimed), length);
  return claimed === -1n ? body : codec.decode(body, length);
}

/**
 * Loads the codec; undefined where buffers are stored as they are. The same bytes come out on every platform
 * and Node version, because both are libraries of this package (Node's own zstd is of another version).
 * zstd: level 1 of @bokuweb/zstd-wasm. lz4: frames of independent blocks by lz4-napi (lz4_flex).
 * Throws a usage error (`codec-missing`) where the library does not load.
 */
export async function codecFor(compression: Compression): Promise<BodyCodec | undefined> {
  switch (compression) {
    case 'none':
      return undefined;
    case 'zstd':
      return loadZstd();
    case 'lz4':
      return loadLz4();
  }
}
