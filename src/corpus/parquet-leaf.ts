/** The decoded pages of one leaf column of one row group, in order, with every row accounted for. */
import { firstLine } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import {
  type Convert,
  claimedEntries,
  type DecodedPage,
  type Dictionary,
  decodeDictionary,
  decodePage,
  type LeafColumn,
} from './parquet-decode.js';
import type { ParquetFooter, RowGroup } from './parquet-footer.js';
import { LostPages, readPages } from './parquet-pages.js';

/** Some consecutive entries: a page, or what is missing and why. */
export type LeafRun<T> =
  | { readonly kind: 'page'; readonly entries: number; readonly page: DecodedPage<T> }
  | {
      readonly kind: 'broken';
      /** Entries missing; for a column that repeats, where nobody can tell, all that were to come. */
      readonly entries: number;
      readonly reason: 'broken-page' | 'broken-row-group';
      readonly detail: string;
      /** Nothing follows in this row group. */
      readonly last: boolean;
    };

export interface LeafRequest<T> {
  readonly storage: Storage;
  readonly footer: ParquetFooter;
  readonly group: RowGroup;
  /** Index of the leaf column in the file. */
  readonly leaf: number;
  readonly column: LeafColumn;
  readonly convert: Convert<T>;
}

/**
 * Where nothing repeats, the runs' entries add up to the row group's rows whatever is broken: a broken page is
 * counted by its header, and reading stops at the last row.
 * @throws TokensieveError only when storage fails.
 */
export async function* readLeaf<T>(request: LeafRequest<T>): AsyncGenerator<LeafRun<T>, void, undefined> {
  const { storage, footer, group, leaf, column, convert } = request;
  const chunk = group.chunks[leaf];
  const flat = column.repetition === 0;
  let left = flat || typeof chunk !== 'object' ? group.rows : chunk.entries;
  const rest = (detail: string): LeafRun<T> => ({
    kind: 'broken',
    entries: left,
    reason: 'broken-row-group',
    detail,
    last: true,
  });
  if (left === 0) return;
  if (chunk === undefined || typeof chunk === 'string')
    return yield rest(chunk ?? 'the column chunk is missing');

  let dictionary: Dictionary<T> | null = null;
  let dictionaryTrouble = '';
  try {
    for await (const raw of readPages(storage, footer, chunk)) {
      if (raw.header.type === 'DICTIONARY_PAGE') {
        try {
          dictionary = decodeDictionary(raw, chunk.codec, column, convert);
        } catch (error) {
          dictionaryTrouble = ` (dictionary page: ${firstLine(error)})`;
        }
        continue;
      }
      const claimed = claimedEntries(raw.header);
      if (claimed === null || claimed > left) {
        return yield rest(
          `a page claims ${raw.header.data_page_header?.num_values ?? raw.header.data_page_header_v2?.num_values} values, ${left} are left in the column chunk`,
        );
      }
      if (claimed === 0) continue;
      let run: LeafRun<T>;
      try {
        run = {
          kind: 'page',
          entries: claimed,
          page: decodePage(raw, chunk.codec, column, dictionary, convert),
        };
      } catch (error) {
        const detail = firstLine(error) + dictionaryTrouble;
        run = { kind: 'broken', entries: flat ? claimed : left, reason: 'broken-page', detail, last: !flat };
      }
      left -= claimed;
      yield run;
      if (left === 0) return;
    }
  } catch (error) {
    if (!(error instanceof LostPages)) throw error;
    return yield rest(error.message);
  }
  yield rest(`the column chunk ends ${left} values early`);
}
