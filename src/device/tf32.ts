/**
 * Whether products of float32 may round their factors to TF32's ten bits on CUDA. cuBLAS asks once in the life of a
 * process, so a process has one answer; what a run records is what it asked for, whatever ran before it.
 */
import { usageError } from '../errors.js';
import type { Precision } from '../model/prepared-model.js';

const VARIABLE = 'NVIDIA_TF32_OVERRIDE';
const forbidden = process.env[VARIABLE] === '0';

/** float32 is to be exact; in the head of 16-bit bodies TF32 loses nothing that 16 bits have. */
export const usesTf32 = (precision: Precision): boolean => precision !== 'fp32' && !forbidden;

let settled: boolean | null = null;

/**
 * To be called before a session opens on CUDA.
 * @throws TokensieveError (usage) `tf32-settled` where this process has begun with the other answer
 */
export function settleTf32(allowed: boolean): void {
  if (settled !== null && settled !== allowed) {
    throw usageError(
      'tf32-settled',
      `this process has begun to compute ${settled ? 'with' : 'without'} TF32, and what comes now is to be ${allowed ? 'with' : 'without'} it (fp32 and 16-bit scoring in one process); run it in a process of its own (run --only STAGE), or set ${VARIABLE}=0 for all of it`,
    );
  }
  settled = allowed;
  if (!allowed) process.env[VARIABLE] = '0';
}
