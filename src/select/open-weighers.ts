import type { FinishedPart } from '../dataset/finished-parts.js';
import type { Lane } from '../parts/parts-job.js';
import { routedOptions } from '../storage/routed.js';
import type { Storage } from '../storage/storage.js';
import { type PartName, partKey } from './part-source.js';
import type { Prepared } from './preparation.js';
import type { ReadingOptions } from './read-all.js';
import type { Selection } from './selection.js';
import type { SelectionSettings } from './settings.js';
import {
  localWeigher,
  type WeighedPart,
  type Weigher,
  type WeighingContext,
  type WeighingRules,
} from './weigher.js';

/** Counts that may stay in memory between two passes: those of some hundred parts. */
const KEPT_BYTES = 2 ** 26;

export interface WeighingLane extends Lane {
  weigh(part: FinishedPart, fingerprint: string, context: WeighingContext): Promise<WeighedPart>;
}

export interface WeighersOptions {
  readonly selection: Selection;
  readonly settings: SelectionSettings;
  readonly rules: WeighingRules;
  readonly storage: Storage;
  /** Ends what comes before the weighing. */
  readonly signal: AbortSignal;
  /** Finds out what must be known before a part is weighed. @param options how parts are read */
  readonly prepare: (options: ReadingOptions) => Promise<Prepared>;
  /** Is told when the threads ended. */
  readonly closed: () => void;
}

/**
 * Makes everything known that must be before a part is weighed, and opens lanes to weigh in: one in this thread, or
 * several, each with a thread of its own. A storage that another thread cannot open has them all in this one.
 * @param parts all of the data set, in global order
 * @returns gives out lanes, which end together: with the last of them that is closed
 */
export async function openWeighers(
  lanes: number,
  parts: readonly FinishedPart[],
  options: WeighersOptions,
): Promise<() => WeighingLane> {
  const weighers = await openEach(lanes, options);
  const closeAll = async (): Promise<void> => {
    // One alone is this thread: it may be used again.
    if (weighers.length > 1) options.closed();
    await Promise.all(weighers.map((weigher) => weigher.close()));
  };
  let prepared: Prepared;
  try {
    prepared = await prepareWith(weighers, parts, options);
  } catch (error) {
    await closeAll();
    throw error;
  }
  let given = 0;
  let open = 0;
  return () => {
    const weigher = weighers[given++ % weighers.length] as Weigher;
    open++;
    return {
      weigh: (part, fingerprint, context) => weigher.weigh(part, fingerprint, prepared, context),
      close: async () => {
        if (--open === 0) await closeAll();
      },
    };
  };
}

async function openEach(
  lanes: number,
  { selection, settings, rules, storage }: WeighersOptions,
): Promise<readonly Weigher[]> {
  const elsewhere = routedOptions(storage);
  if (lanes <= 1 || elsewhere === null) return [localWeigher(selection, rules, storage)];
  const { weigherThread } = await import('./weigher-thread.js');
  const data = { settings, rules, storage: elsewhere };
  const opened = await Promise.allSettled(Array.from({ length: lanes }, () => weigherThread(data)));
  const weighers = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  for (const one of opened) {
    if (one.status === 'fulfilled') continue;
    await Promise.all(weighers.map((weigher) => weigher.close()));
    throw one.reason;
  }
  return weighers;
}

/** Every step over the parts, which the weighers take as they are free. */
async function prepareWith(
  weighers: readonly Weigher[],
  parts: readonly FinishedPart[],
  { signal, prepare }: WeighersOptions,
): Promise<Prepared> {
  const free = [...weighers];
  const byKey = new Map(parts.map((part) => [partKey(part.manifest), part]));
  return prepare({
    concurrency: weighers.length,
    keptBytes: KEPT_BYTES,
    async read(source: PartName, step) {
      const part = byKey.get(partKey(source));
      // As many are read at once as there are weighers.
      const weigher = free.pop();
      if (part === undefined || weigher === undefined)
        throw new Error('more parts are read than there are weighers');
      try {
        return await weigher.read(part, step, signal);
      } finally {
        free.push(weigher);
      }
    },
  });
}
