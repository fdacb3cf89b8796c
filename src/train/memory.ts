/** Whether a model can be trained on one device at all. */
import { totalmem } from 'node:os';
import { usageError } from '../errors.js';
import type { Precision } from '../model/prepared-model.js';

/** fp32 weight, gradient and AdamW's two moments; and the weights' copy that a 16-bit body computes with. */
export const bytesPerParameter = (precision: Precision): number => (precision === 'fp32' ? 16 : 18);

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Memory of this process's machine or control group, in bytes. */
export function hostMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 && constrained < totalmem() ? constrained : totalmem();
}

/**
 * @param available bytes of the device's memory
 * @throws usage `model-too-large` with the arithmetic
 */
export function checkMemory(parameters: number, available: number, precision: Precision = 'fp32'): void {
  const each = bytesPerParameter(precision);
  const needed = parameters * each;
  const copy = precision === 'fp32' ? '' : `, their ${precision} copy 2`;
  if (needed <= available) return;
  throw usageError(
    'model-too-large',
    `${(parameters / 1e9).toFixed(2)}B parameters × ${each} bytes (weights 4${copy}, gradients 4, optimiser moments 8) = ${gigabytes(needed)}, the device has ${gigabytes(available)}; train a smaller model, or export the weighted files to a trainer that shards its state`,
  );
}
