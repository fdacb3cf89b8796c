/** A stream of bytes as something to take from, with a look ahead and the way back of what was not used. */
import { BrokenStream } from './broken-stream.js';

export interface ByteQueue {
  /** Bytes taken so far: where the next one lies in the stream. */
  position(): number;
  has(length: number): Promise<boolean>;
  /** The next bytes, fewer at the end of the stream; they stay. */
  peek(length: number): Promise<Uint8Array>;
  /** @throws BrokenStream when the stream ends before */
  take(length: number): Promise<Uint8Array>;
  /** From 1 to `most` bytes, whatever is at hand; null at the end. */
  some(most: number): Promise<Uint8Array | null>;
  /** Puts the last bytes taken back. */
  putBack(bytes: Uint8Array): void;
  /** @throws BrokenStream when the stream ends before */
  skip(length: number): Promise<void>;
  close(): Promise<void>;
}

export function byteQueue(source: AsyncIterable<Uint8Array>): ByteQueue {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let taken = 0;
  const more = async (): Promise<boolean> => {
    const next = await iterator.next();
    if (next.done) return false;
    held = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
    return true;
  };
  const has = async (length: number): Promise<boolean> => {
    while (held.length < length) if (!(await more())) return false;
    return true;
  };
  const leave = (length: number): Uint8Array => {
    const bytes = held.subarray(0, length);
    held = held.subarray(length);
    taken += length;
    return bytes;
  };
  const cutOff = (): BrokenStream => new BrokenStream(`it is cut off at byte ${taken + held.length}`);
  return {
    position: () => taken,
    has,
    async peek(length) {
      await has(length);
      return held.subarray(0, length);
    },
    async take(length) {
      if (!(await has(length))) throw cutOff();
      return leave(length);
    },
    async some(most) {
      return (await has(1)) ? leave(Math.min(most, held.length)) : null;
    },
    putBack(bytes) {
      taken -= bytes.length;
      held = held.length === 0 ? bytes : Buffer.concat([bytes, held]);
    },
    async skip(length) {
      for (let left = length; left > 0; ) {
        if (!(await has(1))) throw cutOff();
        left -= leave(Math.min(left, held.length)).length;
      }
    },
    async close() {
      await iterator.return?.();
    },
  };
}
