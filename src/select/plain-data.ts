import { deserialize, serialize } from 'node:v8';
import { gunzipSync, gzipSync } from 'node:zlib';
import { firstLine, inputError } from '../errors.js';

/** Largest value that is unpacked: a thousand times the counts of a ranking. */
const MAX_BYTES = 1 << 29;

/**
 * Plain data (anything that survives structured clone: maps, typed arrays, infinities) as the bytes of a small file. Counts
 * are zeros for the most part, which the fastest level of gzip takes out. For files that live as long as a run: the
 * encoding is Node's own, which newer versions read and older ones may not.
 */
export const packPlain = (value: unknown): Uint8Array => gzipSync(serialize(value), { level: 1 });

/**
 * Undoes `packPlain`. Gzip's checksum tells of damage.
 * @param place named in errors @throws input `plain-data` where the bytes are no such file
 */
export function unpackPlain(bytes: Uint8Array, place: string): unknown {
  try {
    return deserialize(gunzipSync(bytes, { maxOutputLength: MAX_BYTES }));
  } catch (cause) {
    throw inputError(
      'plain-data',
      `${place}: is not what a run put down between its steps (${firstLine(cause)}); remove it, then run the command again`,
      { cause },
    );
  }
}
