import type { CorpusRow } from '#tokensieve/corpus/document.js';
import { formatOf } from '#tokensieve/corpus/expand.js';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import type { ReadOptions, ShardPlan } from '#tokensieve/corpus/shard.js';
import type { Storage } from '#tokensieve/storage/storage.js';

export interface Settings {
  readonly text?: string;
  readonly keep?: readonly string[];
  readonly maxTextBytes?: number;
  readonly partBytes?: number;
  readonly limit?: number;
}

export const readOptions = ({
  text = 'text',
  keep = [],
  maxTextBytes = 2 ** 24,
  partBytes = 2 ** 25,
  limit,
}: Settings = {}): ReadOptions => ({
  columns: { text, keep },
  maxTextBytes,
  partBytes,
  ...(limit !== undefined && { limit }),
});

export function plan(storage: Storage, path: string, settings?: Settings): Promise<ShardPlan> {
  const format = formatOf(path);
  if (format === null) throw new Error(path);
  return planShard(storage, { path, name: path, format }, readOptions(settings));
}

/** The rows of each (wanted) part, by part. */
export async function readParts(
  storage: Storage,
  path: string,
  settings?: Settings,
  wanted?: (part: number) => boolean,
): Promise<Map<number, CorpusRow[]>> {
  const parts = new Map<number, CorpusRow[]>();
  for await (const { part, rows } of readShard(
    storage,
    await plan(storage, path, settings),
    readOptions(settings),
    wanted,
  )) {
    const found: CorpusRow[] = [];
    for await (const row of rows) found.push(row);
    parts.set(part, found);
  }
  return parts;
}

export const readRows = async (storage: Storage, path: string, settings?: Settings): Promise<CorpusRow[]> =>
  [...(await readParts(storage, path, settings)).values()].flat();

/** A row in short: `3:text`, or `3+2 broken-page`. */
export const brief = (row: CorpusRow): string =>
  row.kind === 'document' ? `${row.row}:${row.text}` : `${row.row}+${row.rows} ${row.reason}`;
