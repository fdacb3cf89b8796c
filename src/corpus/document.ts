/** One usable row of a shard. `text` is well-formed Unicode and not empty. */
export interface Document {
  readonly kind: 'document';
  /** Row in the shard, from 0: parquet row order, or the line number of a jsonl file. */
  readonly row: number;
  readonly text: string;
  /** UTF-8 bytes of `text`. */
  readonly textBytes: number;
  /** The other columns that were asked for, by the shard's own column names, as plain JSON values. */
  readonly columns: Readonly<Record<string, unknown>>;
  /** Those of `columns` that are null because their bytes are broken, or nested too deep to be stored; absent when none is. */
  readonly lost?: readonly string[];
}

export type QuarantineReason =
  | 'null-text'
  | 'empty-text'
  | 'not-a-string'
  | 'nested-text'
  | 'not-unicode'
  | 'oversized-text'
  | 'bad-json'
  | 'unspellable'
  | 'broken-page'
  | 'broken-row-group'
  | 'broken-shard';

/** Rows that are set aside, with the reason. The run goes on without them and reports them. */
export interface Quarantined {
  readonly kind: 'quarantined';
  /** First row concerned. */
  readonly row: number;
  /** Rows concerned; `null` when it cannot be known (a broken shard). */
  readonly rows: number | null;
  readonly reason: QuarantineReason;
  /** One line: what was found and what was expected. */
  readonly detail: string;
}

/** What a shard reader yields, in row order. */
export type CorpusRow = Document | Quarantined;
