/**
 * The records of the sources, which stand in one order, by the parts that they belong to: whoever makes a part, and
 * whichever parts it made before, reads that part's records.
 */
import type { FinishedPart } from '../dataset/finished-parts.js';
import { openPart } from '../dataset/part-source.js';
import type { Storage } from '../storage/storage.js';
import type { ImportSettings } from './settings.js';
import type { RecordReader } from './sources.js';

/** Records counted beyond the run's last before the count is given up. */
const MOST_LEFT_OVER = 1_000_000;

/** One reading of the sources, from part to part. */
export interface RecordLane {
  /**
   * Goes on to the first record of the part, passing over those of parts between. A part before the one that the sources stand
   * at costs reading them from their start.
   */
  at(part: FinishedPart, signal: AbortSignal): Promise<RecordReader>;
  /** The records of the part that they stood at are taken. */
  passed(part: FinishedPart): void;
  close(): Promise<void>;
}

export interface RecordsOfParts {
  lane(): RecordLane;
  /** Records beyond the last part's, up to a million. */
  leftOver(signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/** @param parts all of the run's, in global order */
export function recordsOfParts(
  storage: Storage,
  parts: readonly FinishedPart[],
  open: () => RecordReader,
  per: ImportSettings['per'],
): RecordsOfParts {
  const places = new Map(parts.map((part, place) => [part, place]));
  const counts = new Map<FinishedPart, Promise<number>>();
  /** How many records a part takes: as many as it has rows, or documents with a token. */
  const countOf = (part: FinishedPart, signal: AbortSignal): Promise<number> => {
    if (per !== 'document') return Promise.resolve(part.manifest.counts.sequences);
    const known = counts.get(part) ?? documentsOf(storage, part, signal);
    counts.set(part, known);
    known.catch(() => counts.delete(part));
    return known;
  };
  /** Passes over the parts of places [from, to). */
  const pass = async (reader: RecordReader, from: number, to: number, signal: AbortSignal): Promise<void> => {
    for (const part of parts.slice(from, to)) {
      signal.throwIfAborted();
      for (let left = await countOf(part, signal); left > 0; left--) {
        if (left % 1024 === 0) signal.throwIfAborted();
        await reader.next();
      }
    }
  };
  /** A reader that stands behind the last part's records, left by whoever took them. */
  let atEnd: RecordReader | null = null;
  const close = async (): Promise<void> => {
    await atEnd?.close();
    atEnd = null;
  };
  return {
    lane() {
      let reader: RecordReader | null = null;
      /** Place of the part whose records come next. */
      let next = 0;
      return {
        async at(part, signal) {
          const place = places.get(part) ?? 0;
          if (reader !== null && place < next) {
            await reader.close();
            reader = null;
          }
          if (reader === null) next = 0;
          reader ??= open();
          await pass(reader, next, place, signal);
          next = place;
          return reader;
        },
        passed: (part) => {
          next = (places.get(part) ?? 0) + 1;
        },
        async close() {
          if (reader !== null && next === parts.length && atEnd === null) atEnd = reader;
          else await reader?.close();
        },
      };
    },
    async leftOver(signal) {
      if (atEnd === null) {
        atEnd = open();
        await pass(atEnd, 0, parts.length, signal);
      }
      let count = 0;
      while (count < MOST_LEFT_OVER && (await atEnd.next()) !== null) count++;
      await close();
      return count;
    },
    close,
  };
}

async function documentsOf(storage: Storage, part: FinishedPart, signal: AbortSignal): Promise<number> {
  let documents = 0;
  let last: bigint | null = null;
  for await (const { segments } of (await openPart(storage, part)).batches()) {
    signal.throwIfAborted();
    for (const [s, document] of segments.document.entries()) {
      if (document === last || (segments.tokenCount[s] ?? 0) === 0) continue;
      last = document;
      documents++;
    }
  }
  return documents;
}
