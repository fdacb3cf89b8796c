import { usageError } from '../errors.js';
import { isJsonObject } from '../json/canonical-json.js';
import type { Storage } from '../storage/storage.js';
import { manifestPath, readExportManifest } from './manifest.js';
import { type ExportRows, rowCount, targetsOfRows } from './rows.js';
import type { ExportSettings } from './settings.js';
import type { ExportSource } from './source.js';

type Documents = NonNullable<ExportSettings['documents']>;

/**
 * Whether documents that do not see each other are written apart. They are unless somebody says otherwise: trainers that drop or
 * rebuild `position_ids` would let them see each other without a word. An export that was begun before there was the choice goes on
 * as it was begun.
 * @throws TokensieveError (usage) `documents-joined`
 */
export async function documentsOf(
  storage: Storage,
  { to, out, documents }: ExportSettings,
  { folder, rules }: ExportSource,
): Promise<Documents> {
  if (to !== 'hf') return 'together';
  if (rules.attention === 'across') {
    if (documents !== 'apart') return 'together';
    throw usageError(
      'documents-joined',
      `${folder}: its losses were computed with documents of a row seeing each other; documents "apart" would train on others than were scored: leave it out`,
    );
  }
  return documents ?? ((await begunTogether(storage, out)) ? 'together' : 'apart');
}

async function begunTogether(storage: Storage, out: string): Promise<boolean> {
  const begun = await readExportManifest(storage, manifestPath(out, 0)).catch(() => null);
  const settings = begun?.recipe['settings'];
  return begun?.format === 'hf' && isJsonObject(settings) && settings['documents'] === undefined;
}

/** Each document of a row as a row of its own; what holds no target (a single id of context) is left out. */
export function documentsApart(rows: ExportRows): ExportRows {
  const { offsets, segments } = rows;
  const isTarget = targetsOfRows(rows);
  const pieces: { readonly from: number; readonly to: number; readonly segment: number }[] = [];
  for (let row = 0; row < rowCount(rows); row++) {
    let from = offsets[row] ?? 0;
    for (let segment = segments.offsets[row] ?? 0; segment < (segments.offsets[row + 1] ?? 0); segment++) {
      const to = from + (segments.tokenCount[segment] ?? 0);
      if (isTarget.subarray(from, to).includes(1)) pieces.push({ from, to, segment });
      from = to;
    }
  }
  const length = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
  const ends = new Int32Array(pieces.length + 1);
  for (const [i, { from, to }] of pieces.entries()) ends[i + 1] = (ends[i] ?? 0) + to - from;
  const gather = <T extends Int32Array | Float32Array>(values: T, found: T): T => {
    for (const [i, { from, to }] of pieces.entries()) found.set(values.subarray(from, to), ends[i]);
    return found;
  };
  const chosen = <T extends Int32Array | BigInt64Array>(values: T): T =>
    values.filter((_: unknown, i: number) => kept.has(i)) as T;
  const kept = new Set(pieces.map(({ segment }) => segment));
  const columns: ExportRows['columns'] = Object.fromEntries(
    Object.entries(rows.columns).map(([name, values]) => [name, gather(values, new Float32Array(length))]),
  );
  return {
    place: rows.place,
    firstRow: rows.firstRow,
    offsets: ends,
    inputIds: gather(rows.inputIds, new Int32Array(length)),
    weights: gather(rows.weights, new Float32Array(length)),
    columns,
    segments: {
      offsets: Int32Array.from({ length: pieces.length + 1 }, (_, i) => i),
      document: chosen(segments.document),
      tokenStart: new Int32Array(pieces.length),
      tokenCount: chosen(segments.tokenCount),
      byteStart: chosen(segments.byteStart),
      byteEnd: chosen(segments.byteEnd),
    },
    repeats: new Int32Array(pieces.length),
  };
}
