import type { DataSetPart } from '../../dataset/data-set.js';
import { openSequences } from '../../dataset/finished-parts.js';
import { digestOf } from '../../dataset/manifest.js';
import { rowsOf, type SequenceBatch } from '../../dataset/sequence-batch.js';
import type { Source } from '../../dataset/source.js';
import { targetsOf } from '../../dataset/targets.js';
import { findBadValue, whereIs } from '../../dataset/token-values.js';
import { inputError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';

/** Rows of one record batch with what training needs of them and nothing else, in memory of their own. */
export interface Chunk {
  readonly source: Source;
  readonly part: DataSetPart;
  readonly sequenceIds: BigInt64Array;
  /** [rows + 1] */
  readonly offsets: Int32Array;
  /** [tokens] each */
  readonly ids: Int32Array;
  readonly eligible: Uint8Array;
  /** NaN, and weight 0, where a token is not eligible. Null where it was not asked for. */
  readonly referenceLoss: Float32Array | null;
  readonly weight: Float32Array | null;
  /** Of each row: [rows] */
  readonly firstDocument: BigInt64Array;
  readonly lastDocument: BigInt64Array;
  /** Tokens of every run, rows [rows + 1] offset; null with attention `across`. */
  readonly runs: { readonly offsets: Int32Array; readonly counts: Int32Array } | null;
}

/** Which columns a batch will hold, and how long its rows may be. */
export interface Wanted {
  readonly length: number;
  readonly attention: 'across' | 'within';
  readonly hasReferenceLoss: boolean;
  readonly hasWeights: boolean;
}

/**
 * The part's rows, in order, a record batch at a time.
 * @throws TokensieveError fatal `part-changed`; (input) `rows-differ` where the file has not as many rows as its
 *   manifest, `part-damaged` where its bytes are not those of its manifest, `bad-row`, `arrow-corrupt`, each naming the
 *   file; the signal's reason
 */
export async function* chunksOf(
  storage: Storage,
  source: Source,
  part: DataSetPart,
  wanted: Wanted,
  signal?: AbortSignal,
): AsyncGenerator<Chunk> {
  const file = await openSequences(storage, part);
  if (file.columns.join() !== source.columns.join()) {
    throw badFile(
      part,
      `has columns ${file.columns.join(', ')}, the first part ${source.columns.join(', ')}`,
    );
  }
  let rows = 0;
  // Flipped bits are losses and weights like others: the file's digest is checked when its last batch has been read.
  for await (const batch of file.batches(digestOf(part.manifest, 'sequences'))) {
    signal?.throwIfAborted();
    rows += rowsOf(batch);
    if (rows > part.rows) break;
    yield toChunk(batch, source, part, wanted);
  }
  if (rows === part.rows) return;
  throw inputError(
    'rows-differ',
    `${part.file}: has ${rows > part.rows ? 'more than ' : ''}${Math.min(rows, part.rows)} rows, its manifest says ${part.rows}; run tokensieve verify on the folder, then make the part again`,
  );
}

const badFile = (part: DataSetPart, what: string): Error =>
  inputError(
    'bad-row',
    `${part.file}: ${what}; run tokensieve verify on the folder, then make the part again`,
  );

function toChunk(batch: SequenceBatch, source: Source, part: DataSetPart, wanted: Wanted): Chunk {
  const bad = findBadValue(batch);
  if (bad !== undefined) throw badFile(part, `${whereIs(batch, bad.token)}: ${bad.column} is ${bad.reason}`);
  const negative = batch.inputIds.findIndex((id) => id < 0);
  if (negative >= 0) {
    throw badFile(part, `${whereIs(batch, negative)}: token id ${batch.inputIds[negative]} is negative`);
  }
  const { offsets, sequenceIds, segments } = batch;
  checkRows(batch, part, wanted.length);
  const eligible = laterTargets(batch);
  const { reference_loss: referenceLoss, weight } = batch.columns;
  return {
    source,
    part,
    // Copies: the batch's arrays are views of everything that was read with them.
    sequenceIds: sequenceIds.slice(),
    offsets: offsets.slice(),
    ids: batch.inputIds.slice(),
    eligible,
    referenceLoss: wanted.hasReferenceLoss ? ofTargets(referenceLoss, eligible, Number.NaN) : null,
    weight: wanted.hasWeights ? ofTargets(weight, eligible, 0) : null,
    firstDocument: sequenceIds.map((_, row) => segments.document[segments.offsets[row] ?? 0] ?? 0n),
    lastDocument: sequenceIds.map((_, row) => segments.document[(segments.offsets[row + 1] ?? 0) - 1] ?? 0n),
    runs:
      wanted.attention === 'within'
        ? { offsets: segments.offsets.slice(), counts: segments.tokenCount.slice() }
        : null,
  };
}

/** [tokens] 1 for a target. The first of a row has no context, whatever the file says. */
function laterTargets(batch: SequenceBatch): Uint8Array {
  const eligible = targetsOf(batch);
  const { offsets } = batch;
  for (let row = 0; row + 1 < offsets.length; row++) eligible[offsets[row] ?? 0] = 0;
  return eligible;
}

/** [tokens] the values of targets, and `rest` everywhere else. */
function ofTargets(values: Float32Array | undefined, eligible: Uint8Array, rest: number): Float32Array {
  const kept = new Float32Array(eligible.length);
  for (let i = 0; i < kept.length; i++) kept[i] = eligible[i] === 1 ? (values?.[i] ?? rest) : rest;
  return kept;
}

/** Rows fit the batch, and their segments cover them. */
function checkRows(
  { offsets, sequenceIds, segments }: SequenceBatch,
  part: DataSetPart,
  longest: number,
): void {
  for (let row = 0; row < sequenceIds.length; row++) {
    const length = (offsets[row + 1] ?? 0) - (offsets[row] ?? 0);
    if (length < 1 || length > longest) {
      throw badFile(part, `row ${sequenceIds[row]} has ${length} ids; expected 1 to ${longest}`);
    }
    let covered = 0;
    for (let i = segments.offsets[row] ?? 0; i < (segments.offsets[row + 1] ?? 0); i++) {
      const count = segments.tokenCount[i] ?? 0;
      if (count < 1) throw badFile(part, `row ${sequenceIds[row]} has a segment of ${count} tokens`);
      covered += count;
    }
    if (covered !== length) {
      throw badFile(part, `row ${sequenceIds[row]}: its segments cover ${covered} of ${length} ids`);
    }
  }
}
