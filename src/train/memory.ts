/** Whether a model can be trained on one device at all. */
import { totalmem } from 'node:os';
import { usageError } from '../errors.js';

/** fp32 weight, gradient and AdamW's two moments. */
export const BYTES_PER_PARAMETER = 16;

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
export function checkMemory(parameters: number, available: number): void {
  const needed = parameters * BYTES_PER_PARAMETER;
  if (needed <= available) return;
  throw usageError(
    'model-too-large',
    `${(parameters / 1e9).toFixed(2)}B parameters × ${BYTES_PER_PARAMETER} bytes (weights 4, gradients 4, optimiser moments 8) = ${gigabytes(needed)}, the device has ${gigabytes(available)}; train a smaller model, or export the weighted files to a trainer that shards its state`,
  );
}
