import { readSafetensorsHeader, type TensorEntry } from '../model/safetensors.js';

export interface TypeShare {
  readonly type: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

export interface TensorView {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

export interface SafetensorsInspection {
  readonly kind: 'safetensors';
  readonly path: string;
  readonly tensors: number;
  readonly parameters: number;
  /** Bytes of the tensors, without the header. */
  readonly bytes: number;
  /** Most bytes first. */
  readonly types: readonly TypeShare[];
  /** The largest tensors, largest first. */
  readonly largest: readonly TensorView[];
}

const LARGEST = 12;

/** Reads the header alone. @throws TokensieveError (fatal) `broken-safetensors`, `unreadable-weights` */
export async function inspectSafetensors(path: string): Promise<SafetensorsInspection> {
  const entries = await readSafetensorsHeader(path);
  const types = new Map<string, TypeShare>();
  for (const entry of entries) {
    const share = types.get(entry.type) ?? { type: entry.type, tensors: 0, parameters: 0, bytes: 0 };
    types.set(entry.type, {
      type: entry.type,
      tensors: share.tensors + 1,
      parameters: share.parameters + elementsOf(entry),
      bytes: share.bytes + entry.length,
    });
  }
  const shares = [...types.values()].sort((a, b) => b.bytes - a.bytes);
  const largest = [...entries].sort((a, b) => b.length - a.length).slice(0, LARGEST);
  return {
    kind: 'safetensors',
    path,
    tensors: entries.length,
    parameters: shares.reduce((sum, { parameters }) => sum + parameters, 0),
    bytes: shares.reduce((sum, { bytes }) => sum + bytes, 0),
    types: shares,
    largest: largest.map(({ name, type, shape, length }) => ({ name, type, shape, bytes: length })),
  };
}

const elementsOf = ({ shape }: TensorEntry): number => shape.reduce((product, size) => product * size, 1);
