import type { PartPlace } from '../dataset/part-files.js';
import { usageError } from '../errors.js';
import type { ExportSettings } from './settings.js';

/** Little-endian bytes of a typed array: every platform that Node runs on is. */
export const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

export const tokenBytes = ({ token_type }: Pick<ExportSettings, 'token_type'>): number =>
  token_type === 'uint16' ? 2 : 4;

/** What a format writes of some ids: the bytes are valid until the next call. */
export type IdBytes = (ids: Int32Array, place: PartPlace) => Uint8Array;

/** Ids in the type that was asked for. Throws a usage error (`id-too-large`) where one has no room. */
export function idBytes({ token_type }: Pick<ExportSettings, 'token_type'>): IdBytes {
  // An id is not negative, so that int32 and uint32 are the same bytes.
  if (token_type === 'uint32') return bytesOf;
  let narrow = new Uint16Array(0);
  return (ids, place) => {
    if (ids.length > narrow.length) narrow = new Uint16Array(ids.length);
    let all = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      all |= id;
      narrow[i] = id;
    }
    if (all >>> 16 !== 0) throw tooLarge(ids, place);
    return bytesOf(narrow.subarray(0, ids.length));
  };
}

const tooLarge = (ids: Int32Array, { shard, part }: PartPlace) =>
  usageError(
    'id-too-large',
    `${shard} part ${part}: id ${ids.find((id) => id >>> 16 !== 0)} has no room in uint16; export with --token-type uint32`,
  );

/** `train.bin` alone, `train_00000.bin` and on of several. */
export const shardName = (stem: string, index: number, shards: number, rest: string): string =>
  shards === 1 ? `${stem}${rest}` : `${stem}_${String(index).padStart(5, '0')}${rest}`;

/** [tokens] The id where the weight is above 0, else −100: what PyTorch's cross entropy leaves out. */
export function labelsOf(ids: Int32Array, weights: Float32Array): Int32Array {
  const labels = new Int32Array(ids.length);
  for (let i = 0; i < ids.length; i++) labels[i] = (weights[i] as number) > 0 ? (ids[i] as number) : -100;
  return labels;
}

export const LABELS_NEED_BITS = 'labels say only whether a token counts';
export const MASK_NEEDS_BITS = 'a mask says only whether a token counts';

/** [tokens] 1 where the weight is above 0. */
export function maskOf(weights: Float32Array): Uint8Array {
  const mask = new Uint8Array(weights.length);
  for (let i = 0; i < weights.length; i++) mask[i] = (weights[i] as number) > 0 ? 1 : 0;
  return mask;
}

export const sidecarReason = ({ sidecar }: Pick<ExportSettings, 'sidecar'>): string | null =>
  sidecar === 'weights' ? null : sidecar === 'mask' ? MASK_NEEDS_BITS : LABELS_NEED_BITS;

/** A sidecar's values for some tokens. */
export const sidecarOf = (
  { sidecar }: Pick<ExportSettings, 'sidecar'>,
  ids: Int32Array,
  weights: Float32Array,
): Float32Array | Uint8Array | Int32Array =>
  sidecar === 'weights' ? weights : sidecar === 'mask' ? maskOf(weights) : labelsOf(ids, weights);

export const sidecarBytes = ({ sidecar }: Pick<ExportSettings, 'sidecar'>): number =>
  sidecar === 'mask' ? 1 : 4;
