/** Where a row of a batch came from, for messages and for the record. */
export interface RowOrigin {
  /** Folder of the source, as it was given. */
  readonly source: string;
  /** Shard's name and part number within it. */
  readonly shard: string;
  readonly part: number;
  readonly sequenceId: bigint;
  /** First and last document of the row (rows in the shard). */
  readonly documents: readonly [bigint, bigint];
}

/**
 * The rows of one optimiser step: `accumulate · rows` rows of `length` ids, in order; micro-batch a holds rows
 * [a · rows, (a + 1) · rows). A shorter row is padded at its end with id 0. Entry (r, t) of every column stands at
 * r · length + t.
 */
export interface StepBatch {
  readonly ids: Int32Array;
  /** 1 where the token is a target (docs/conventions.md: eligible), else 0. Always 0 at a row's first id and in padding. */
  readonly eligible: Float32Array;
  /** Nats, NaN where the token is no target; null when a source has no reference losses. */
  readonly referenceLoss: Float32Array | null;
  /** Stored weights, 0 where the token is no target; null when a source has none. */
  readonly weight: Float32Array | null;
  /** Attention `within` only: position in the document's run, and the run's index in the row. */
  readonly positions?: Int32Array;
  readonly documents?: Int32Array;
  /** Of each row; fewer than the batch has where its last rows are padding (held-out batches). */
  readonly origins: readonly RowOrigin[];
}

/** How far training has read: everything that the next batch follows from. Plain JSON, kept in checkpoints. */
export interface DataPosition {
  /** Rows drawn from all sources. */
  readonly rows: number;
  /** Rows drawn from each source, in the order of the settings. */
  readonly sources: readonly number[];
}

/** A source as its manifests have it: one epoch of it is this much. */
export interface SourceDescription {
  /** Folder, as it was given. */
  readonly path: string;
  /** Share of the rows, relative to the other sources'. */
  readonly ratio: number;
  readonly rows: number;
  /** Ids, context included. */
  readonly tokens: number;
  /** Tokens that are learnt from (docs/conventions.md: eligible). */
  readonly targets: number;
  /** Tokens of weight above 0; null where the source has no weights. */
  readonly kept: number | null;
}

/** What the sources agree on, known before anything is read but manifests and footers. */
export interface DataDescription {
  /** Ids of the longest row: T of every batch. */
  readonly length: number;
  readonly attention: 'across' | 'within';
  readonly tokenizerHash: string;
  readonly hasReferenceLoss: boolean;
  readonly hasWeights: boolean;
  /** What stored weights' loss is divided by, as the files say; `sum-of-weights` where they say nothing. */
  readonly normaliser: 'sum-of-weights' | 'eligible-tokens';
  readonly sources: readonly SourceDescription[];
  /** sha256 over the sources' manifests: changes when any file does. */
  readonly hash: string;
}
