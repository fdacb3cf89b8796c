/** Planning and reading of a shard, whatever its format. */
import type { Storage } from '../storage/storage.js';
import { planJsonLines, readJsonLines } from './jsonl.js';
import { planParquet, readParquet } from './parquet.js';
import type { PartReading, ReadOptions, Shard, ShardPlan } from './shard.js';

/**
 * What there is to read in a shard: for parquet from the footer alone (two small requests), for JSON lines from
 * the file's size.
 * @throws TokensieveError with reach `input` when the shard as a whole is unusable: quarantine it and go on.
 */
export function planShard(storage: Storage, shard: Shard, options: ReadOptions): Promise<ShardPlan> {
  const { format } = shard;
  return format === 'parquet'
    ? planParquet(storage, shard, options)
    : planJsonLines(storage, { ...shard, format });
}

/**
 * The parts of a shard for which `wanted` says yes, in order, each to be read to its end before the next is asked
 * for. Memory is bounded by pages and lines, not by parts. Broken pages, row groups, lines and streams come as
 * quarantined rows; only storage fails otherwise.
 * @throws TokensieveError when storage fails, or the shard is not the one that was planned.
 */
export function readShard(
  storage: Storage,
  plan: ShardPlan,
  options: ReadOptions,
  wanted: (part: number) => boolean = () => true,
): AsyncIterable<PartReading> {
  return plan.shard.format === 'parquet'
    ? readParquet(storage, plan, options, wanted)
    : readJsonLines(storage, plan, options, wanted);
}
