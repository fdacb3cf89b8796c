/** Texts of single rows, read again from a shard: of a parquet file only the row groups that hold them. */
import { planShard, readShard } from '../../corpus/read-shard.js';
import type { ReadOptions, Shard } from '../../corpus/shard.js';
import { textDigest } from '../../dataset/documents.js';
import type { Storage } from '../../storage/storage.js';

/** UTF-16 units of a text that are kept: more than the tokens shown of it can cover, but for absurd tokens. */
const HEAD_UNITS = 1 << 17;
/** Text read of streams (jsonl), which have to be read from their beginning: bytes, for all shards together. */
export const MAX_STREAM_BYTES = 1 << 30;

export interface ShardText {
  /** The text, or the beginning of a long one. */
  readonly head: string;
  readonly whole: boolean;
  /** `textDigest` of all of it. */
  readonly digest: Uint8Array;
}

/** What is left to read of streams; used up as they are read. */
export interface StreamBudget {
  bytes: number;
}

/**
 * The texts of these rows, by row. Rows that the shard does not have, has set aside, or that lie beyond the budget
 * are missing.
 * @throws TokensieveError of storage, or where the shard as a whole cannot be read
 */
export async function shardTexts(
  storage: Storage,
  shard: Shard,
  rows: ReadonlySet<number>,
  options: Pick<ReadOptions, 'columns' | 'maxTextBytes' | 'maxPageBytes'>,
  budget: StreamBudget,
): Promise<Map<number, ShardText>> {
  const found = new Map<number, ShardText>();
  const last = Math.max(...rows);
  // Parts as small as they can be: a row group each.
  const plan = await planShard(storage, shard, { ...options, partBytes: 1 });
  const groups = plan.parts?.filter(({ rowStart, rowEnd }) =>
    [...rows].some((row) => row >= rowStart && row < rowEnd),
  );
  const isStream = groups === undefined;
  const whole = { ...options, partBytes: isStream ? Number.MAX_SAFE_INTEGER : 1 };
  const wanted = new Set(groups?.map(({ part }) => part));
  for await (const reading of readShard(storage, plan, whole, (part) => isStream || wanted.has(part))) {
    const end = plan.parts?.[reading.part]?.rowEnd ?? Number.POSITIVE_INFINITY;
    const lastHere = Math.max(...[...rows].filter((row) => row < end));
    for await (const row of reading.rows) {
      if (row.kind === 'document') {
        if (rows.has(row.row)) found.set(row.row, textOf(row.text));
        if (isStream) budget.bytes -= row.textBytes;
      }
      if (row.row >= lastHere || (isStream && budget.bytes <= 0)) break;
    }
    if (end > last) break;
  }
  return found;
}

function textOf(text: string): ShardText {
  const digest = textDigest(text);
  if (text.length <= HEAD_UNITS) return { head: text, whole: true, digest };
  // Not through the middle of a character. The copy lets go of the whole text.
  const splits = (text.codePointAt(HEAD_UNITS - 1) ?? 0) > 0xffff;
  const head = Buffer.from(text.slice(0, HEAD_UNITS - (splits ? 1 : 0))).toString();
  return { head, whole: false, digest };
}
