/** Lines of a byte stream in bounded memory: a line over the limit is skipped to its end, not held. */
import { BrokenStream } from './broken-stream.js';

export type Line =
  | { readonly kind: 'line'; readonly number: number; readonly bytes: Uint8Array }
  | { readonly kind: 'too-long'; readonly number: number; readonly bytes: number };

const NEWLINE = 0x0a;

/**
 * Lines by number from 0, without their newline; a last line need not have one, unless the stream breaks off within it. Empty
 * ones count, and are not given out.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Line, void, undefined> {
  let number = 0;
  let pieces: Uint8Array[] = [];
  let length = 0;
  const line = (last: Uint8Array): Line => {
    const total = length + last.length;
    if (total > maxBytes) return { kind: 'too-long', number, bytes: total };
    return {
      kind: 'line',
      number,
      bytes: pieces.length === 0 ? last : Buffer.concat([...pieces, last], total),
    };
  };
  try {
    for await (const chunk of source) {
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
        if (end > from || length > 0) yield line(chunk.subarray(from, end));
        number++;
        pieces = [];
        length = 0;
        from = end + 1;
      }
      length += chunk.length - from;
      if (length > maxBytes) pieces = [];
      else if (from < chunk.length) pieces.push(chunk.subarray(from));
    }
  } catch (error) {
    if (error instanceof BrokenStream && error.whole && length > 0) yield line(new Uint8Array(0));
    throw error;
  }
  if (length > 0) yield line(new Uint8Array(0));
}
