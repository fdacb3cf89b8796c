/** Ids and losses from a parquet file: two list columns, some rows at a time. */
import { joinedReads } from '../corpus/joined-reads.js';
import { codecsReady } from '../corpus/parquet-codec.js';
import { openColumn } from '../corpus/parquet-column.js';
import { readFooter } from '../corpus/parquet-footer.js';
import type { Storage } from '../storage/storage.js';
import {
  badSource,
  type ColumnNames,
  chooseColumns,
  idsOf,
  type LossRecord,
  lossesOf,
  lossOf,
  scaleOf,
  shown,
} from './record.js';

/** Rows taken at once; a row has its tokens as JavaScript values while it is read. */
const ROWS = 16;

/**
 * The records of a parquet file in order. A page or value that cannot be read ends the import: rows are told by their
 * order, and one that is left out would move all after it.
 * @throws TokensieveError (input) `bad-source`, `no-such-column`; and as `readFooter` throws
 */
export async function* parquetRecords(
  storage: Storage,
  path: string,
  settings: ColumnNames & { readonly unit: 'nats' | 'bits' },
): AsyncGenerator<LossRecord> {
  await codecsReady();
  const footer = await readFooter(storage, path);
  const names = footer.fields.map(({ name }) => name);
  const chosen = chooseColumns(names, settings, path);
  const scale = scaleOf({ values: chosen.values, unit: settings.unit });
  const fieldOf = (name: string) => {
    const field = footer.fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw badSource(path, `no column ${JSON.stringify(name)}`);
    return field;
  };
  const losses = fieldOf(chosen.losses);
  const ids = chosen.ids === null ? null : fieldOf(chosen.ids);
  let row = 0;
  for (const group of footer.rowGroups) {
    const fields = [losses, ...(ids === null ? [] : [ids])];
    const chunks = fields
      .flatMap((field) => group.chunks.slice(...field.leaves))
      .filter((chunk) => typeof chunk === 'object');
    const joined = joinedReads(storage, chunks);
    const lossColumn = openColumn(joined, footer, group, losses);
    const idColumn = ids === null ? null : openColumn(joined, footer, group, ids);
    for (let at = 0; at < group.rows; at += ROWS) {
      const count = Math.min(ROWS, group.rows - at);
      const [lossSlice, idSlice] = await Promise.all([lossColumn.next(count), idColumn?.next(count)]);
      for (let i = 0; i < count; i++, row++) {
        const place = `${path}: row ${row}`;
        for (const [slice, name] of [
          [lossSlice, chosen.losses],
          [idSlice, chosen.ids],
        ] as const) {
          const lost = slice?.lost?.[i];
          if (lost !== undefined && lost !== null)
            throw badSource(place, `column ${name} cannot be read: ${lost}`);
        }
        yield recordOf(idSlice?.values[i], lossSlice.values[i], chosen.ids !== null, place, scale);
      }
    }
  }
}

/** A record of values that a parser gave. @throws TokensieveError (input) `bad-source` */
export function recordOf(
  ids: unknown,
  losses: unknown,
  hasIds: boolean,
  place: string,
  scale: number,
): LossRecord {
  if (hasIds && !Array.isArray(ids))
    throw badSource(place, `the token ids are ${shown(ids)}; expected a list`);
  const read = Array.isArray(losses)
    ? lossesOf(losses, place, scale)
    : typeof losses === 'number'
      ? lossOf(losses, place, 0, scale)
      : null;
  if (read === null) {
    throw badSource(place, `the losses are ${shown(losses)}; expected a list, one a token, or one number`);
  }
  return { place, ids: hasIds ? idsOf(ids as unknown[], place) : null, losses: read };
}
