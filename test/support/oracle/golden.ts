import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** fixtures/models/*.golden.json, as goldens.py there writes them. */
export interface Golden {
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  /** Lengths of each row's documents. */
  readonly documents: readonly (readonly number[])[];
  readonly rows: readonly (readonly number[])[];
  readonly float64: Readonly<Record<'across' | 'within', { loss: Losses; entropy: Losses }>>;
  readonly float32: Readonly<Record<'across' | 'within', Losses>>;
}

/** Row by row, [length − 1]; null where there is no context. */
export type Losses = readonly (readonly (number | null)[])[];

const folder = fileURLToPath(new URL('../../../fixtures/models/', import.meta.url));
const SUFFIX = '.golden.json';

export const goldenNames = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
    .sort();

export const readGolden = (name: string): Golden =>
  JSON.parse(readFileSync(join(folder, name + SUFFIX), 'utf8')) as Golden;

/** Writes config.json and model.safetensors of a golden's checkpoint into `into`. */
export function writeGoldenCheckpoint(
  golden: Pick<Golden, 'config' | 'dtype' | 'tensors'>,
  into: string,
): void {
  mkdirSync(into, { recursive: true });
  writeFileSync(join(into, 'config.json'), JSON.stringify(golden.config));
  const header: Record<string, unknown> = {};
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const [name, shape] of Object.entries(golden.tensors)) {
    const bytes = encode(goldenWeight(name, shape, golden.dtype), golden.dtype);
    header[name] = { dtype: golden.dtype, shape, data_offsets: [offset, offset + bytes.length] };
    chunks.push(bytes);
    offset += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(join(into, 'model.safetensors'), Buffer.concat([length, json, ...chunks]));
}

/**
 * The tensor that goldens.py makes under this name: u in [−1, 1) from a hash of name and index, of 7 bits (exact
 * in every storage type) or 24; norms 1 + u/2, biases and matrices u/4.
 */
export function goldenWeight(name: string, shape: readonly number[], dtype: Golden['dtype']): Float32Array {
  const bits = dtype === 'F32' ? 24 : 7;
  const seed = fnv1a(name);
  const norm = shape.length === 1 && !name.endsWith('.bias');
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    const u = (mix(seed + Math.imul(i, 0x9e3779b9)) >>> (32 - bits)) / 2 ** (bits - 1) - 1;
    return norm ? 1 + u / 2 : u / 4;
  });
}

/** The finaliser of MurmurHash3 on uint32. */
export function mix(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

export function fnv1a(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Little-endian bytes. The values are exact in `dtype`, so nothing is rounded. */
function encode(values: Float32Array, dtype: Golden['dtype']): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer);
  const bits = new Uint32Array(values.buffer);
  return new Uint8Array(Uint16Array.from(bits, dtype === 'BF16' ? (b) => b >>> 16 : toHalf).buffer);
}

/** fp32 bits to fp16 bits, for zero and for normal numbers that fp16 holds exactly. */
function toHalf(b: number): number {
  const sign = (b >>> 16) & 0x8000;
  const exponent = ((b >>> 23) & 255) - 127 + 15;
  return (b & 0x7fffffff) === 0 ? sign : sign | (exponent << 10) | ((b >>> 13) & 1023);
}
