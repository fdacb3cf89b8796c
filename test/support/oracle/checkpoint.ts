import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The oracles read checkpoints with their own few lines, so that a mistake in the product's reader cannot hide
 * on both sides of a comparison. Nothing in this folder imports the product.
 */
export interface Tensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float64Array;
}

export class Config {
  constructor(private readonly values: Readonly<Record<string, unknown>>) {}

  number(name: string, otherwise?: number): number {
    const value = this.values[name] ?? otherwise;
    if (typeof value !== 'number') throw new Error(`config: ${name} is ${String(value)}, not a number`);
    return value;
  }

  text(name: string, otherwise?: string): string {
    const value = this.values[name] ?? otherwise;
    if (typeof value !== 'string') throw new Error(`config: ${name} is ${String(value)}, not a string`);
    return value;
  }

  flag(name: string, otherwise: boolean): boolean {
    return (this.values[name] as boolean | undefined) ?? otherwise;
  }

  has(name: string): boolean {
    return this.values[name] !== undefined && this.values[name] !== null;
  }

  section(name: string): Config {
    return new Config((this.values[name] as Record<string, unknown> | null | undefined) ?? {});
  }

  get architecture(): string {
    return (this.values['architectures'] as string[])[0]!;
  }
}

export class Weights {
  constructor(private readonly tensors: ReadonlyMap<string, Tensor>) {}

  /** The tensor of that name; some checkpoints of a base model lack the first component of every name. */
  get(name: string): Tensor {
    const tensor = this.find(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tensor;
  }

  find(name: string): Tensor | undefined {
    return this.tensors.get(name) ?? this.tensors.get(name.slice(name.indexOf('.') + 1));
  }
}

export interface Checkpoint {
  readonly config: Config;
  readonly weights: Weights;
}

export function readCheckpoint(folder: string): Checkpoint {
  const config = new Config(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')));
  return { config, weights: new Weights(readSafetensors(join(folder, 'model.safetensors'))) };
}

/** safetensors: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, then the bytes. */
function readSafetensors(path: string): Map<string, Tensor> {
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength));
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries<{ dtype: string; shape: number[]; data_offsets: number[] }>(
    header,
  )) {
    if (name === '__metadata__') continue;
    const [start, end] = entry.data_offsets.map((offset) => 8 + headerLength + offset);
    tensors.set(name, { shape: entry.shape, data: decode(file.subarray(start, end), entry.dtype) });
  }
  return tensors;
}

function decode(bytes: Buffer, dtype: string): Float64Array {
  const size = dtype === 'F32' ? 4 : 2;
  const values = new Float64Array(bytes.length / size);
  const fill = (read: (at: number) => number): Float64Array => {
    for (let i = 0; i < values.length; i++) values[i] = read(size * i);
    return values;
  };
  if (dtype === 'F32') return fill((at) => bytes.readFloatLE(at));
  if (dtype === 'BF16') return fill((at) => bf16(bytes.readUInt16LE(at)));
  if (dtype === 'F16') return fill((at) => f16(bytes.readUInt16LE(at)));
  throw new Error(`dtype ${dtype}`);
}

const bits32 = new Uint32Array(1);
const float32 = new Float32Array(bits32.buffer);

function bf16(bits: number): number {
  bits32[0] = bits << 16;
  return float32[0]!;
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function f16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * 2 ** -14 * fraction : sign * 2 ** (exponent - 15) * (1 + fraction);
}
