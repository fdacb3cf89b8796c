/** Whether two tensors hold the same numbers, without holding either of them. */
import { type FileHandle, open } from 'node:fs/promises';
import { ioError } from '../storage/io-error.js';
import type { TensorEntry } from './safetensors.js';
import { bytesPerElement, readFully, widened } from './tensor-data.js';

/** Elements of each that are in memory at once. */
const PIECE = 2 ** 20;

/**
 * Compares by value, whatever type each is stored in: 0 and −0 are the same, NaN is like no number.
 * @throws fatal `unknown-weight-type`, `broken-safetensors`, and what the disk throws
 */
export async function sameNumbers(a: TensorEntry, b: TensorEntry): Promise<boolean> {
  if (a.shape.join() !== b.shape.join()) return false;
  const elements = a.length / bytesPerElement(a);
  const files: FileHandle[] = [];
  try {
    for (const { file } of [a, b]) {
      files.push(
        await open(file, 'r').catch((error: unknown) => {
          throw ioError('read', file, error);
        }),
      );
    }
    for (let start = 0; start < elements; start += PIECE) {
      const count = Math.min(PIECE, elements - start);
      const [left, right] = await Promise.all([
        piece(files[0], a, start, count),
        piece(files[1], b, start, count),
      ]);
      if (a.type === b.type && Buffer.compare(left, right) === 0) continue;
      const [x, y] = [widened(a, left), widened(b, right)];
      if (x.some((value, i) => value !== y[i])) return false;
    }
    return true;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function piece(
  file: FileHandle | undefined,
  entry: TensorEntry,
  start: number,
  count: number,
): Promise<Uint8Array> {
  const width = bytesPerElement(entry);
  const bytes = new Uint8Array(count * width);
  if (file !== undefined) await readFully(file, entry, bytes, start * width);
  return bytes;
}
