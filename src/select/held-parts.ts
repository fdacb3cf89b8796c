import type { SequenceBatch } from '../dataset/sequence-batch.js';
import type { PartSource } from './part-source.js';

/**
 * Parts whose rows stay in memory once they were read, within a limit for all of them together: a selection that reads
 * every part three times reads a small data set once. What was checked while it was read need not be checked again.
 */
export interface HeldParts {
  /** The part, read from its file until it was read to its end, and from memory from then on if there was room. */
  hold(source: PartSource): PartSource;
}

/** @param limit bytes of all batches together */
export function holdParts(limit: number): HeldParts {
  let left = limit;
  return {
    hold(source) {
      // Its domains are there only while it is read.
      if (source.domainOf !== undefined) return source;
      let held: readonly SequenceBatch[] | null = null;
      let fits = true;
      return {
        ...source,
        async *batches() {
          if (held !== null) {
            yield* held;
            return;
          }
          const read: SequenceBatch[] = [];
          let taken = 0;
          let complete = false;
          try {
            for await (const batch of source.batches()) {
              const bytes = bytesOf(batch);
              if (fits && bytes <= left) {
                read.push(batch);
                taken += bytes;
                left -= bytes;
              } else if (fits) {
                // One that does not fit will not fit the next time.
                fits = false;
                read.length = 0;
                left += taken;
                taken = 0;
              }
              yield batch;
            }
            complete = true;
          } finally {
            // Two readers at once may both have it: one copy counts.
            if (complete && fits && held === null) held = read;
            else left += taken;
          }
        },
      };
    },
  };
}

function bytesOf({ sequenceIds, offsets, inputIds, columns, segments }: SequenceBatch): number {
  const arrays = [sequenceIds, offsets, inputIds, ...Object.values(columns), ...Object.values(segments)];
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
