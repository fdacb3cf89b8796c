/** The numbers of a checkpoint's tensors, as float32: every F16 and BF16 is a float32 exactly. */
import { type FileHandle, open } from 'node:fs/promises';
import { fatalError } from '../errors.js';
import { fromBfloat16, fromHalf } from '../numbers/fp16-bf16.js';
import { ioError } from '../storage/io-error.js';
import type { TensorEntry } from './safetensors.js';

/** Bytes of the file in memory at once, beside the tensor itself. */
const PIECE_BYTES = 2 ** 22;

/**
 * Reads one tensor into `target`, which has as many elements as it has.
 * @throws fatal `unknown-weight-type` for types other than F32, F16, BF16, `broken-safetensors` where the file
 * ends early
 */
export async function readTensor(entry: TensorEntry, target: Float32Array): Promise<void> {
  const widen = widenerOf(entry);
  const width = bytesPerElement(entry);
  if (entry.length !== target.length * width) {
    throw fatalError(
      'wrong-shape',
      `${entry.file}: tensor ${entry.name} has shape [${entry.shape}]; ${target.length} elements are wanted`,
    );
  }
  const file = await open(entry.file, 'r').catch((error: unknown) => {
    throw ioError('read', entry.file, error);
  });
  try {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, entry.length));
    for (let done = 0; done < entry.length; done += piece.length) {
      const bytes = piece.subarray(0, Math.min(piece.length, entry.length - done));
      await readFully(file, entry, bytes, done);
      widen(bytes, target, done / width);
    }
  } finally {
    await file.close();
  }
}

/** Of F32, F16 and BF16. */
export const bytesPerElement = ({ type }: Pick<TensorEntry, 'type'>): number => (type === 'F32' ? 4 : 2);

/**
 * The numbers that `bytes` of a tensor's hold.
 * @throws fatal `unknown-weight-type`
 */
export function widened(entry: TensorEntry, bytes: Uint8Array): Float32Array {
  const numbers = new Float32Array(bytes.length / bytesPerElement(entry));
  widenerOf(entry)(bytes, numbers, 0);
  return numbers;
}

function widenerOf(entry: TensorEntry): Widener {
  const widen = Object.hasOwn(wideners, entry.type) ? wideners[entry.type] : undefined;
  if (widen !== undefined) return widen;
  throw fatalError(
    'unknown-weight-type',
    `${entry.file}: tensor ${entry.name} is stored as ${entry.type}; expected F32, F16 or BF16: save the checkpoint in one of these`,
  );
}

/** Puts the numbers of `bytes` into `target` from element `at` on. */
type Widener = (bytes: Uint8Array, target: Float32Array, at: number) => void;

const wideners: Readonly<Record<string, Widener>> = {
  F32: (bytes, target, at) => {
    new Uint8Array(target.buffer, target.byteOffset + 4 * at, bytes.length).set(bytes);
  },
  F16: (bytes, target, at) => target.set(fromHalf(halvesOf(bytes)), at),
  BF16: (bytes, target, at) => fromBfloat16(halvesOf(bytes), target.subarray(at)),
};

const halvesOf = (bytes: Uint8Array): Uint16Array =>
  new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);

/** Fills `bytes` with those of the tensor from its byte `start` on. */
export async function readFully(
  file: FileHandle,
  entry: TensorEntry,
  bytes: Uint8Array,
  start: number,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file
      .read(bytes, done, bytes.length - done, entry.offset + start + done)
      .catch((error: unknown) => {
        throw ioError('read', entry.file, error);
      });
    if (bytesRead === 0) {
      throw fatalError(
        'broken-safetensors',
        `${entry.file}: ends at byte ${entry.offset + start + done}, within tensor ${entry.name}; fetch or save the checkpoint again`,
      );
    }
    done += bytesRead;
  }
}
