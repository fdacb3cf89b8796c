import type { Storage } from '../storage/storage.js';
import type { Chunk } from './parquet-footer.js';

/** Most bytes of one joined request. */
const JOINED_BYTES = 4 * 2 ** 20;
/** Writers put some bytes of metadata behind each chunk; reading them along costs less than another request. */
const GAP_BYTES = 1024;

interface Run {
  readonly start: number;
  readonly end: number;
  bytes?: Promise<Uint8Array>;
}

/**
 * The storage, with reads of column chunks that lie side by side made one request: over a network a row group of many
 * small columns costs few requests, and not a column that is not wanted. A chunk of its own, or
 * too large to join, is read as before. Joined bytes are held as long as the result is.
 * @param chunks those that will be read, of one file
 */
export function joinedReads(storage: Storage, chunks: readonly Chunk[]): Storage {
  const runs = runsOf(chunks);
  if (runs.length === 0) return storage;
  return {
    ...storage,
    async readRange(path, start, end, version) {
      const run = runs.find((candidate) => candidate.start <= start && end <= candidate.end);
      if (run === undefined) return storage.readRange(path, start, end, version);
      run.bytes ??= storage.readRange(path, run.start, run.end, version);
      return (await run.bytes).subarray(start - run.start, end - run.start);
    },
  };
}

/** Stretches of two chunks and more, with next to no gap between them. */
function runsOf(chunks: readonly Chunk[]): Run[] {
  const runs: Run[] = [];
  let open: { start: number; end: number; chunks: number } | null = null;
  const close = (): void => {
    if (open !== null && open.chunks > 1) runs.push({ start: open.start, end: open.end });
  };
  for (const { start, end } of [...chunks].sort((a, b) => a.start - b.start)) {
    if (
      open !== null &&
      start <= open.end + GAP_BYTES &&
      Math.max(end, open.end) - open.start <= JOINED_BYTES
    ) {
      open = { start: open.start, end: Math.max(end, open.end), chunks: open.chunks + 1 };
      continue;
    }
    close();
    open = { start, end, chunks: 1 };
  }
  close();
  return runs;
}
