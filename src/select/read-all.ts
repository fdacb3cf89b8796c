import pLimit from 'p-limit';
import type { PartSource } from './part-source.js';
import {
  addsTo,
  firstStep,
  mergeReadings,
  type Prepared,
  type Ranked,
  type Reading,
  readingFrom,
  readPart,
  readsIn,
  type Step,
  stepAfter,
} from './preparation.js';

export interface ReadingOptions {
  /** Parts read at a time. */
  readonly concurrency?: number;
  /** Bytes of counts that may stay in memory, to spare a reading of their parts; none unless it is said. */
  readonly keptBytes?: number;
  /** Reads a part in another thread, say; `readPart` unless it is given. */
  readonly read?: (part: PartSource, step: Step) => Promise<Reading>;
}

const NOTHING: Reading = { counts: new Map(), observed: new Map() };

/** Every step over the parts in one process. `parts` stand in global order. */
export async function readAll(
  ranked: Ranked,
  parts: readonly PartSource[],
  { concurrency = 1, keptBytes = 0, read: readIt }: ReadingOptions,
): Promise<Prepared> {
  const limit = pLimit(concurrency);
  let before = new Map<PartSource, Reading>();
  let step = firstStep(ranked, parts);
  while (step.kind === 'step') {
    const now: Step = step;
    const kept = new Map<PartSource, Reading>();
    const pending = parts.filter((part) => readsIn(ranked, now, part));
    let [total, left] = [NOTHING, keptBytes];
    const read = async (part: PartSource): Promise<void> => {
      if (!addsTo(ranked, pending, now, total, part)) return;
      const known = readingFrom(ranked, part, now, before.get(part) ?? NOTHING);
      const reading = known ?? (await (readIt?.(part, now) ?? readPart(ranked, part, now)));
      left -= bytesOf(reading);
      if (left >= 0) kept.set(part, reading);
      // After the reading: others have added theirs meanwhile.
      total = mergeReadings(total, reading);
    };
    try {
      await Promise.all(pending.map((part) => limit(read, part)));
    } catch (error) {
      limit.clearQueue();
      throw error;
    }
    before = kept;
    step = stepAfter(ranked, parts, now, total);
  }
  return step.prepared;
}

function bytesOf({ counts }: Reading): number {
  let bytes = 0;
  for (const own of counts.values()) {
    if (own.kind === 'fine') for (const { byteLength } of own.bins) bytes += byteLength;
  }
  return bytes;
}
