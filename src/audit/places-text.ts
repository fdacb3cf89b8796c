import { type FinishedPart, openSequences } from '../dataset/finished-parts.js';
import type { SequenceFile } from '../dataset/reader.js';
import type { SequenceBatch } from '../dataset/sequence-batch.js';
import { excessOf } from '../dataset/statistics.js';
import type { Storage } from '../storage/storage.js';
import type { TokenTexts } from '../texts/token-texts.js';
import type { TokenPlace } from './place.js';
import type { TokenExample } from './report.js';

/** Tokens shown on either side of an example. */
const AROUND = 12;
/** Ids of a document's beginning that an excerpt is made of. */
const EXCERPT_IDS = 60;

/** What stands at the places that an audit found. */
export interface PlaceReader {
  /** The token at a place with its neighbours in the row. */
  example(place: TokenPlace): Promise<TokenExample>;
  /** The text that begins at a place, to the end of its row at most; null without a tokenizer. */
  excerpt(place: TokenPlace): Promise<string | null>;
}

/**
 * Reads places again from the files. Ask in the order of `byPlace`, so that each record batch is read once.
 * @param texts null: ids instead of text
 */
export function createPlaceReader(
  storage: Storage,
  parts: readonly FinishedPart[],
  texts: TokenTexts | null,
): PlaceReader {
  let open: { readonly part: number; readonly file: SequenceFile } | null = null;
  let read: { readonly part: number; readonly index: number; readonly batch: SequenceBatch } | null = null;

  async function batchAt({ part, batch }: TokenPlace): Promise<SequenceBatch> {
    if (read?.part === part && read.index === batch) return read.batch;
    if (open?.part !== part) {
      const finished = parts[part];
      if (finished === undefined) throw new RangeError(`part ${part} of ${parts.length}`);
      open = { part, file: await openSequences(storage, finished) };
    }
    read = { part, index: batch, batch: await open.file.readBatch(batch) };
    return read.batch;
  }
  const spell = (ids: Int32Array): string => (texts === null ? [...ids].join(' ') : texts.join(ids));

  return {
    async example(place) {
      const batch = await batchAt(place);
      const { offsets, inputIds, columns } = batch;
      const start = offsets[place.row] ?? 0;
      const end = offsets[place.row + 1] ?? start;
      const at = start + place.position;
      const id = inputIds[at] ?? 0;
      const { reference_loss: reference, current_loss: current, weight } = columns;
      const excess =
        reference !== undefined && current !== undefined
          ? (excessOf(current.subarray(at, at + 1), reference.subarray(at, at + 1))[0] ?? null)
          : null;
      return {
        shard: parts[place.part]?.manifest.shard ?? '',
        row: documentAt(batch, place),
        before: spell(inputIds.subarray(Math.max(start, at - AROUND), at)),
        token: texts === null ? String(id) : texts.text(id),
        after: spell(inputIds.subarray(at + 1, Math.min(end, at + 1 + AROUND))),
        kept: weight === undefined ? null : (weight[at] ?? 0) > 0,
        excess,
      };
    },
    async excerpt(place) {
      if (texts === null) return null;
      const { offsets, inputIds, segments } = await batchAt(place);
      const start = offsets[place.row] ?? 0;
      let end = offsets[place.row + 1] ?? start;
      for (let s = segments.offsets[place.row] ?? 0; s < (segments.offsets[place.row + 1] ?? 0); s++) {
        const last = (segments.tokenStart[s] ?? 0) + (segments.tokenCount[s] ?? 0);
        if (last > place.position) {
          end = Math.min(end, start + last);
          break;
        }
      }
      const from = start + place.position;
      return texts.join(inputIds.subarray(from, Math.min(end, from + EXCERPT_IDS)));
    },
  };
}

function documentAt({ segments }: SequenceBatch, { row, position }: TokenPlace): number {
  for (let s = segments.offsets[row] ?? 0; s < (segments.offsets[row + 1] ?? 0); s++) {
    const start = segments.tokenStart[s] ?? 0;
    if (position >= start && position < start + (segments.tokenCount[s] ?? 0))
      return Number(segments.document[s]);
  }
  return -1;
}

/** The order in which places are read. */
export const byPlace = (a: TokenPlace, b: TokenPlace): number =>
  a.part - b.part || a.batch - b.batch || a.row - b.row || a.position - b.position;
