/** Columns with one float a token. NaN where a token has no loss; weight 0 there. */
export type TokenColumn =
  | 'reference_loss'
  | 'current_loss'
  | 'reference_entropy'
  | 'current_entropy'
  | 'weight';

/** A column with nats. */
export type LossColumn = Exclude<TokenColumn, 'weight'>;

/** Columns with NaN where a token has no loss, in the order in which files hold them. */
export const LOSS_COLUMNS = [
  'reference_loss',
  'current_loss',
  'reference_entropy',
  'current_entropy',
] as const;
export const TOKEN_COLUMNS: readonly TokenColumn[] = [...LOSS_COLUMNS, 'weight'];

/** Segments of a batch's rows, column by column. `offsets` has rows + 1 entries. */
export interface SegmentColumns {
  readonly offsets: Int32Array;
  readonly document: BigInt64Array;
  readonly tokenStart: Int32Array;
  readonly tokenCount: Int32Array;
  readonly byteStart: BigInt64Array;
  readonly byteEnd: BigInt64Array;
}

/**
 * Some consecutive rows of a scored or weighted file, column by column: the unit that is written, read and
 * selected over. Row r's tokens are [offsets[r], offsets[r + 1]) of `inputIds` and of every token column.
 * Losses and entropies are in nats; fp32 here whatever precision the file stores.
 */
export interface SequenceBatch {
  readonly sequenceIds: BigInt64Array;
  /** [rows + 1] */
  readonly offsets: Int32Array;
  /** [tokens] */
  readonly inputIds: Int32Array;
  /** [tokens] each; a column that the file lacks is absent. */
  readonly columns: Readonly<Partial<Record<TokenColumn, Float32Array>>>;
  readonly segments: SegmentColumns;
}

export const rowsOf = (batch: SequenceBatch): number => batch.offsets.length - 1;
export const tokensOf = (batch: SequenceBatch): number => batch.inputIds.length;
