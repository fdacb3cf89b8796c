import { readFileSync } from 'node:fs';
import { arch } from 'node:os';
import type { Device, Precision } from '../model/prepared-model.js';
import * as ort from '../onnx/runtime.js';
import type { Card } from './card.js';
import { usesTf32 } from './tf32.js';

/** What makes losses comparable bit for bit. One run never mixes two. */
export interface NumericProfile {
  readonly provider: Device;
  readonly precision: Precision;
  /** Runtime and its version. */
  readonly runtime: string;
  /** Instruction set that the CPU kernels are chosen by; on a GPU it changes nothing. */
  readonly processor?: string;
  /** On CUDA: the card and its driver, null where nvidia-smi does not run. Kernels are chosen by both. */
  readonly card?: string | null;
  readonly driver?: string | null;
  /** On CUDA: whether products of float32 may round their factors to ten bits. */
  readonly tf32?: boolean;
}

/** The numeric profile of this machine for a device. */
export function numericProfile(
  device: Device,
  precision: Precision = 'fp32',
  card: Pick<Card, 'name' | 'driver'> | null = null,
  tf32: boolean | null = null,
): NumericProfile {
  const runtime = `onnxruntime ${ort.env.versions.node ?? ort.env.versions.common}`;
  if (device === 'cuda') {
    return {
      provider: device,
      precision,
      runtime,
      card: card?.name ?? null,
      driver: card?.driver ?? null,
      tf32: tf32 ?? usesTf32(precision),
    };
  }
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
