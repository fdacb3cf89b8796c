/**
 * The steps over the parts of a data set, shared by processes that do not talk to each other: an array's, a queue's. What
 * each reads of a part it puts down as a small file, and takes the rest from the others' files, so that together they read
 * every part as often as one process would.
 *
 *   FOLDER/1/00007.counts   what step 1 reads of part 7; the same bytes whoever reads it
 *   FOLDER/1/00007.taken    somebody is reading it, and rewrites this every few seconds while it does
 *
 * Nobody depends on another: where the mark of a part stays as it is, its process is gone, and whoever waits reads the part
 * itself. A part that two read at once is read once too often, and nothing else.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { TokensieveError } from '../errors.js';
import { commitBytes } from '../storage/commit-bytes.js';
import { joinPath, nameOf } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { PartSource } from './part-source.js';
import { packPlain, unpackPlain } from './plain-data.js';
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

/** By the waiting process's own steady clock, in milliseconds. */
export interface Patience {
  /** Between two signs of life of whoever reads a part. */
  readonly signMs: number;
  /** Without a sign of life for so long it is gone. */
  readonly silentMs: number;
  /** Longest time between two looks. */
  readonly lookMs: number;
}
const PATIENCE: Patience = { signMs: 3_000, silentMs: 20_000, lookMs: 2_000 };
const FIRST_LOOK_MS = 50;

export interface Together {
  readonly storage: Storage;
  /** Of this selection alone: what lies there is of the same parts and settings. */
  readonly folder: string;
  /** All parts, in the order in which this process had best take them: where another is least likely to be. */
  readonly order: readonly PartSource[];
  readonly signal: AbortSignal;
  /** Reads a part in another thread, say; `readPart` unless it is given. */
  readonly read?: ((part: PartSource, step: Step) => Promise<Reading>) | undefined;
  readonly patience?: Patience;
}

const NOTHING: Reading = { counts: new Map(), observed: new Map() };

/**
 * What `readAll` gives, to the last bit.
 * @param parts all of them, in global order
 * @throws whatever reading the parts throws; the signal's reason
 */
export async function readTogether(
  ranked: Ranked,
  parts: readonly PartSource[],
  together: Together,
): Promise<Prepared> {
  let step = firstStep(ranked, parts);
  while (step.kind === 'step') {
    step = stepAfter(ranked, parts, step, await readStep(ranked, parts, step, together));
  }
  return step.prepared;
}

async function readStep(
  ranked: Ranked,
  parts: readonly PartSource[],
  step: Step,
  { storage, folder, order, signal, read, patience = PATIENCE }: Together,
): Promise<Reading> {
  const place = joinPath(folder, String(step.number));
  const files = new Map(parts.map((part, index) => [part, fileNames(place, index)] as const));
  const pending = parts.filter((part) => readsIn(ranked, step, part));
  const left = new Set(order.filter((part) => readsIn(ranked, step, part)));
  const watch = createWatch(storage, patience.silentMs);
  let total = NOTHING;
  let pause = FIRST_LOOK_MS;
  while (left.size > 0) {
    signal.throwIfAborted();
    const there = new Set((await storage.list(place)).map(nameOf));
    let next: PartSource | null = null;
    for (const part of left) {
      const names = files.get(part);
      if (names === undefined) continue;
      const reading = there.has(nameOf(names.counts)) ? await readCounts(storage, names.counts) : null;
      if (reading !== null) {
        total = mergeReadings(total, reading);
        left.delete(part);
      } else if (!addsTo(ranked, pending, step, total, part)) left.delete(part);
      else if (next === null && (!there.has(nameOf(names.taken)) || (await watch.isGone(names.taken))))
        next = part;
    }
    const names = next === null ? undefined : files.get(next);
    if (next !== null && names !== undefined) {
      const reading = await marked(storage, names.taken, patience.signMs, async () => {
        // Since the look somebody may have taken it and put it down.
        const before = await readCounts(storage, names.counts);
        if (before !== null) return before;
        // What the step before counted of it may tell already.
        const last = await readCounts(
          storage,
          fileNames(joinPath(folder, String(step.number - 1)), parts.indexOf(next)).counts,
        );
        const known = readingFrom(ranked, next, step, last ?? NOTHING);
        const found = known ?? (await (read?.(next, step) ?? readPart(ranked, next, step)));
        await commitBytes(storage, names.counts, packPlain(found), { onConflict: 'replace' });
        return found;
      });
      pause = FIRST_LOOK_MS;
      // Another took it at the same moment: its counts will be there.
      if (reading === null) continue;
      total = mergeReadings(total, reading);
      left.delete(next);
    } else if (left.size > 0) {
      await wait(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
      pause = Math.min(2 * pause, patience.lookMs);
    }
  }
  return total;
}

interface FileNames {
  readonly counts: string;
  readonly taken: string;
}

function fileNames(place: string, index: number): FileNames {
  const stem = joinPath(place, String(index).padStart(5, '0'));
  return { counts: `${stem}.counts`, taken: `${stem}.taken` };
}

/** What another put down; null where it is gone or damaged, and is to be read again. */
async function readCounts(storage: Storage, path: string): Promise<Reading | null> {
  try {
    const { size } = await storage.stat(path);
    return unpackPlain(await storage.readRange(path, 0, size), path) as Reading;
  } catch (error) {
    if (error instanceof TokensieveError && error.reach === 'input') return null;
    throw error;
  }
}

/**
 * Does something under a mark that says it is being done; null where another put its own mark there at the same moment. What
 * goes wrong with the mark costs a reading at most.
 */
async function marked<T>(
  storage: Storage,
  path: string,
  everyMs: number,
  act: () => Promise<T>,
): Promise<T | null> {
  const name = randomBytes(8).toString('hex');
  let signs = 0;
  const sign = (): Promise<void> =>
    commitBytes(storage, path, Buffer.from(`${name} ${signs++}\n`), { onConflict: 'replace' }).catch(
      () => undefined,
    );
  let signing = sign();
  await signing;
  const mark = await readMark(storage, path);
  if (mark !== '' && !mark.startsWith(`${name} `)) return null;
  const timer = setInterval(() => {
    signing = signing.then(sign);
  }, everyMs);
  timer.unref();
  try {
    return await act();
  } finally {
    clearInterval(timer);
    // One that is under way would put the mark back.
    await signing;
    await storage.remove(path).catch(() => undefined);
  }
}

/** Whether marks change. */
function createWatch(storage: Storage, silentMs: number) {
  const seen = new Map<string, { readonly text: string; readonly since: number }>();
  return {
    /** Whether a mark has not changed for too long, as far as this process has looked. */
    async isGone(path: string): Promise<boolean> {
      const text = await readMark(storage, path);
      const before = seen.get(path);
      const now = performance.now();
      if (before === undefined || before.text !== text) {
        seen.set(path, { text, since: now });
        return false;
      }
      return now - before.since >= silentMs;
    },
  };
}

async function readMark(storage: Storage, path: string): Promise<string> {
  try {
    const { size } = await storage.stat(path);
    return Buffer.from(await storage.readRange(path, 0, Math.min(size, 256))).toString('utf8');
  } catch (error) {
    if (error instanceof TokensieveError && error.reach === 'input') return '';
    throw error;
  }
}
