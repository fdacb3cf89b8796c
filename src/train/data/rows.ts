import pLimit from 'p-limit';
import type { Source } from '../../dataset/source.js';
import { mapAhead } from '../../flow/map-ahead.js';
import type { Storage } from '../../storage/storage.js';
import type { Row } from './assemble.js';
import { type Chunk, chunksOf, type Wanted } from './chunk.js';
import { type OrderRules, rowsOfWindow, type Window, windowsFrom } from './order.js';

/** Windows in memory: the one that rows are drawn from, and the next, which is read meanwhile. */
const WINDOWS = 2;
/** Parts read at once. */
const PARTS_AHEAD = 4;

/** Where rows are read, and what of them. */
export interface RowSource {
  readonly storage: Storage;
  readonly source: Source;
  readonly wanted: Wanted;
  readonly signal: AbortSignal;
}

/**
 * A source's rows from row `drawn` of its endless stream on, epoch after epoch. Reads the windows that these rows
 * lie in and no others. A part that two neighbouring windows hold, as all do where one window holds everything, is
 * read once for both.
 */
export async function* rowsFrom(
  { storage, source, wanted, signal }: RowSource,
  rules: OrderRules,
  drawn: number,
): AsyncGenerator<Row> {
  const limit = pLimit(PARTS_AHEAD);
  const readPart = (index: number): Promise<readonly Chunk[]> =>
    limit(async () => {
      const chunks: Chunk[] = [];
      const part = source.parts[index];
      if (part === undefined) throw new Error(`there is no part ${index} of ${source.name}`);
      signal.throwIfAborted();
      for await (const chunk of chunksOf(storage, source, part, wanted, signal)) chunks.push(chunk);
      return chunks;
    });

  let held: ReadonlyMap<number, Promise<readonly Chunk[]>> = new Map();
  const load = async ({ window, skip }: { readonly window: Window; readonly skip: number }) => {
    const before = held;
    const reading = new Map(window.parts.map((index) => [index, before.get(index) ?? readPart(index)]));
    held = reading;
    return { window, skip, chunks: (await Promise.all(reading.values())).flat() };
  };

  for await (const { window, skip, chunks } of mapAhead(
    windowsFrom(source.parts, rules, drawn),
    WINDOWS,
    load,
  )) {
    const place = placesOf(chunks);
    const order = rowsOfWindow(window, rules);
    for (let i = skip; i < order.length; i++) yield place(order[i] ?? 0);
  }
}

/** From a row's number over all chunks to its place. */
function placesOf(chunks: readonly Chunk[]): (row: number) => Row {
  const starts = new Float64Array(chunks.length + 1);
  chunks.forEach(({ sequenceIds }, i) => {
    starts[i + 1] = (starts[i] ?? 0) + sequenceIds.length;
  });
  return (row) => {
    let [low, high] = [0, chunks.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] ?? 0) <= row) low = middle;
      else high = middle;
    }
    const chunk = chunks[low];
    if (chunk === undefined) throw new Error(`row ${row} is in no chunk of its window`);
    return { chunk, index: row - (starts[low] ?? 0) };
  };
}
