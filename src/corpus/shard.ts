import type { CorpusRow } from './document.js';

/** How the columns of a shard are used, whatever its format. */
export interface ColumnMapping {
  /** Column that holds the document's text (`text` in OpenWebMath, `content` in StarCoderData). */
  readonly text: string;
  /** Further columns to carry into the documents file; a column that a shard lacks reads as null. */
  readonly keep: readonly string[];
}

export interface ReadOptions {
  readonly columns: ColumnMapping;
  /** Longest text accepted, in UTF-8 bytes; a longer one is quarantined as `oversized-text`. */
  readonly maxTextBytes: number;
  /** Largest page of a parquet shard, uncompressed, in bytes; by the file's size when absent. */
  readonly maxPageBytes?: number;
  /** Target of uncompressed text bytes a part. */
  readonly partBytes: number;
  /** Rows read of a shard, from its first; all of them when absent. */
  readonly limit?: number;
}

export type ShardFormat = 'parquet' | 'jsonl' | 'jsonl.gz' | 'jsonl.zst';

/** A shard as it was named and found. `name` is the path relative to its pattern's fixed part, with `/`. */
export interface Shard {
  readonly path: string;
  readonly name: string;
  readonly format: ShardFormat;
}

/** What identifies a shard's bytes before its text is read; `etag` and `pin` do so within one run only. */
export interface ShardIdentity {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly etag?: string;
  /** On local disk, as `ObjectStat.pin`. */
  readonly pin?: string;
  /** sha256 of the parquet footer (metadata and its length); absent for jsonl. */
  readonly footerSha256?: string;
}

/**
 * One part of a shard: the unit of work, resume and output. Parquet parts are known from the footer
 * (`rowGroups` set). A jsonl shard is read once in order, so its parts are known only as they are cut.
 */
export interface PartPlan {
  readonly part: number;
  /** Rows [rowStart, rowEnd) of the shard. */
  readonly rowStart: number;
  readonly rowEnd: number;
  /** Row groups [start, end) of a parquet shard. */
  readonly rowGroups: readonly [number, number];
  /** Uncompressed bytes of the text column, from the footer (an estimate of the text's size). */
  readonly textBytes: number;
}

export interface ShardPlan {
  readonly shard: Shard;
  readonly identity: ShardIdentity;
  /** Rows of the shard; null when only reading tells (jsonl). */
  readonly rows: number | null;
  /** Uncompressed text bytes; for jsonl an estimate from the file size. */
  readonly textBytes: number;
  /** Parts in order; null when only reading tells (jsonl). */
  readonly parts: readonly PartPlan[] | null;
}

/** A part being read. The next part of the shard may be asked for only when `rows` is used up. */
export interface PartReading {
  readonly part: number;
  readonly rows: AsyncIterable<CorpusRow>;
}
