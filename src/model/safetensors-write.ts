/**
 * Writes .safetensors files of float32 tensors, one tensor at a time: nothing but a piece of the tensor at hand is
 * held beside it. Format: https://github.com/huggingface/safetensors#format. Every platform of the runtime is
 * little-endian, as the format is.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { fatalError } from '../errors.js';
import { ioError } from '../storage/io-error.js';
import { maxHeaderBytes } from './safetensors.js';

export interface Float32Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Row-major; as many elements as the shape says. */
  readonly data: Float32Array;
}

/** What came to lie on disk. */
export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** Bytes handed to the system at once: a multiple of a page, far below what one write takes. */
const PIECE_BYTES = 2 ** 24;

/**
 * Writes a new file and makes it durable (fsync). Tensors lie in the order given; the first begins at a multiple
 * of 8 bytes.
 * @param metadata text by name, as `__metadata__` of the header; transformers asks for `{ format: 'pt' }`
 * @throws fatal `bad-tensor` for tensors that no such file can hold, and what storage throws (the path exists,
 * disk full)
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly Float32Tensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<WrittenFile> {
  const header = headerBytes(path, tensors, metadata);
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const file = await open(path, 'wx');
    try {
      for (const part of [header, ...tensors.map(({ data }) => bytesOf(data))]) {
        for (let start = 0; start < part.length; start += PIECE_BYTES) {
          const piece = part.subarray(start, start + PIECE_BYTES);
          hash.update(piece);
          for (let done = 0; done < piece.length; ) {
            done += (await file.write(piece, done, piece.length - done)).bytesWritten;
          }
        }
        bytes += part.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw ioError('write', path, error);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Eight bytes of length and the JSON, padded with spaces to a multiple of 8. */
function headerBytes(
  path: string,
  tensors: readonly Float32Tensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const names = new Set(['__metadata__']);
  // Joined by hand: an object would move names like "0" to the front.
  const members = [`"__metadata__":${JSON.stringify(metadata)}`];
  let end = 0;
  for (const { name, shape, data } of tensors) {
    const length = shape.reduce((product, size) => product * size, 1);
    if (names.has(name) || length !== data.length) {
      const found = names.has(name) ? 'a name that is taken' : `${data.length} elements for [${shape}]`;
      throw fatalError('bad-tensor', `${path}: tensor ${JSON.stringify(name)} to be written has ${found}`);
    }
    names.add(name);
    const place = { dtype: 'F32', shape, data_offsets: [end, end + data.byteLength] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(place)}`);
    end += data.byteLength;
  }
  const text = Buffer.from(`{${members.join(',')}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > maxHeaderBytes) {
    throw fatalError(
      'bad-tensor',
      `${path}: names and shapes of ${tensors.length} tensors take ${padded} bytes; the format allows ${maxHeaderBytes}`,
    );
  }
  const header = Buffer.alloc(8 + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded));
  text.copy(header, 8);
  return header;
}

const bytesOf = (data: Float32Array): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
