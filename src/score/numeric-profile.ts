import { readFileSync } from 'node:fs';
import { arch } from 'node:os';
import * as ort from 'onnxruntime-node';
import type { Device } from '../model/prepared-model.js';

/** What makes losses comparable bit for bit. One run never mixes two. */
export interface NumericProfile {
  readonly provider: Device;
  readonly precision: 'fp32' | 'fp16' | 'bf16';
  /** Runtime and its version. */
  readonly runtime: string;
  /** Instruction set that the CPU kernels are chosen by; on a GPU it changes nothing. */
  readonly processor?: string;
}

/** The numeric profile of this machine for a device. */
export function numericProfile(device: Device): NumericProfile {
  const runtime = `onnxruntime ${ort.env.versions.node ?? ort.env.versions.common}`;
  return device === 'cpu'
    ? { provider: device, precision: 'fp32', runtime, processor: processorLevel() }
    : { provider: device, precision: 'fp32', runtime };
}

/** `x64 avx512`, `x64 avx2`, `arm64`: the CPU kernels, and with them the last bits, differ between these. */
export function processorLevel(): string {
  const level = (flags: string): string =>
    flags.includes(' avx512f') ? ' avx512' : flags.includes(' avx2') ? ' avx2' : '';
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return arch() + level(flags);
  } catch {
    return arch();
  }
}
