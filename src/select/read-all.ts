import pLimit from 'p-limit';
import type { PartSource } from './part-source.js';
import {
  addsTo,
  firstStep,
  mergeReadings,
  type Prepared,
  type Ranked,
  type Reading,
  readPart,
  readsIn,
  type Step,
  stepAfter,
} from './preparation.js';

/** Every step over the parts in one process, `concurrency` of them read at a time. `parts` stand in global order. */
export async function readAll(
  ranked: Ranked,
  parts: readonly PartSource[],
  concurrency: number,
): Promise<Prepared> {
  let step = firstStep(ranked, parts);
  while (step.kind === 'step')
    step = stepAfter(ranked, parts, step, await readStep(ranked, parts, step, concurrency));
  return step.prepared;
}

async function readStep(
  ranked: Ranked,
  parts: readonly PartSource[],
  step: Step,
  concurrency: number,
): Promise<Reading> {
  const limit = pLimit(concurrency);
  let total: Reading = { counts: new Map(), observed: new Map() };
  const pending = parts.filter((part) => readsIn(ranked, step, part));
  try {
    await Promise.all(
      pending.map((part) =>
        limit(async () => {
          if (!addsTo(ranked, pending, step, total, part)) return;
          // After the reading: others have added theirs meanwhile.
          const reading = await readPart(ranked, part, step);
          total = mergeReadings(total, reading);
        }),
      ),
    );
    return total;
  } catch (error) {
    limit.clearQueue();
    throw error;
  }
}
