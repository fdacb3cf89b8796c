import {
  LOSS_COLUMNS,
  type LossColumn,
  rowsOf,
  type SequenceBatch,
  tokensOf,
} from '../dataset/sequence-batch.js';
import { inputError, usageError } from '../errors.js';
import type { PartSource } from './part-source.js';
import { NO_SCRATCH, type Scratch } from './scratch.js';

/**
 * Consecutive whole rows of a part, as methods see them. Position i here is token `start + i` of `batch`.
 * Arrays are [length]; where `eligible[i]` is 0 the loss columns hold NaN and whatever a method writes is
 * ignored.
 */
export interface Tokens {
  readonly source: PartSource;
  readonly batch: SequenceBatch;
  /** Rows [rowStart, rowEnd) of `batch`. */
  readonly rowStart: number;
  readonly rowEnd: number;
  readonly start: number;
  readonly length: number;
  readonly eligible: Uint8Array;
  readonly columns: Readonly<Partial<Record<LossColumn, Float32Array>>>;
}

/** A run of one document's tokens: [start, end) count from the tokens' first. */
export interface DocumentRun {
  readonly document: bigint;
  readonly start: number;
  readonly end: number;
}

/** A loss beyond this is no loss; it also keeps every difference of two losses finite in fp32. */
const LARGEST_LOSS = 2 ** 100;

const HOW_TO_GET: Readonly<Record<LossColumn, string>> = {
  reference_loss: 'score again with --reference MODEL',
  current_loss: 'score again with --current MODEL',
  reference_entropy: 'score again with --reference MODEL --entropy',
  current_entropy: 'score again with --current MODEL --entropy',
};

export const placeOf = (source: PartSource): string => `${source.shard} part ${source.part}`;

/** "shard part 3 row 17 position 5" of token `index` of a batch. */
export function tokenPlace(source: PartSource, batch: SequenceBatch, index: number): string {
  let row = 0;
  while (row + 1 < rowsOf(batch) && (batch.offsets[row + 1] ?? 0) <= index) row++;
  return `${placeOf(source)} row ${batch.sequenceIds[row]} position ${index - (batch.offsets[row] ?? 0)}`;
}

/** The column, which the plan asked for and `readTokens` has checked. */
export function columnOf(tokens: Pick<Tokens, 'columns'>, name: LossColumn): Float32Array {
  const column = tokens.columns[name];
  if (column === undefined) {
    throw usageError(
      'undeclared-column',
      `the method reads ${name} but does not name it in its plan's columns`,
    );
  }
  return column;
}

/** Rows [rowStart, rowEnd) of `tokens.batch` (views, nothing is copied). */
export function sliceTokens(tokens: Tokens, rowStart: number, rowEnd: number): Tokens {
  const start = tokens.batch.offsets[rowStart] ?? 0;
  const end = tokens.batch.offsets[rowEnd] ?? 0;
  const from = start - tokens.start;
  const to = end - tokens.start;
  const columns: Partial<Record<LossColumn, Float32Array>> = {};
  for (const name of LOSS_COLUMNS) {
    const column = tokens.columns[name];
    if (column !== undefined) columns[name] = column.subarray(from, to);
  }
  const eligible = tokens.eligible.subarray(from, to);
  return { ...tokens, rowStart, rowEnd, start, length: end - start, eligible, columns };
}

/**
 * The part's batches with the columns that a method needs and one eligibility: a token is eligible where
 * those columns are not NaN. With no column named, eligibility comes from every loss column that is there.
 * @param scratch where eligibility is written, until the next batch; memory of each batch's own when absent
 * @throws usage `missing-column`; input `eligibility-differs`, `infinite-loss`, `broken-batch`
 */
export async function* readTokens(
  source: PartSource,
  needed: readonly LossColumn[],
  method: string,
  scratch: Scratch = NO_SCRATCH,
): AsyncGenerator<Tokens> {
  for await (const batch of source.batches()) {
    const names =
      needed.length > 0 ? needed : LOSS_COLUMNS.filter((name) => batch.columns[name] !== undefined);
    const columns: Partial<Record<LossColumn, Float32Array>> = {};
    for (const name of names) {
      const column = batch.columns[name];
      if (column === undefined) {
        throw usageError(
          'missing-column',
          `${placeOf(source)} has no ${name}, which method ${method} needs; ${HOW_TO_GET[name]}`,
        );
      }
      columns[name] = column;
    }
    if (names.length === 0) {
      throw usageError(
        'missing-column',
        `${placeOf(source)} has no loss column; score it first (tokensieve score)`,
      );
    }
    checkShape(source, batch, columns);
    const eligible = eligibilityOf(source, batch, columns, scratch);
    yield {
      source,
      batch,
      rowStart: 0,
      rowEnd: rowsOf(batch),
      start: 0,
      length: tokensOf(batch),
      eligible,
      columns,
    };
  }
}

function checkShape(source: PartSource, batch: SequenceBatch, columns: Tokens['columns']): void {
  const tokens = tokensOf(batch);
  const { offsets } = batch;
  let sound = rowsOf(batch) >= 0 && batch.sequenceIds.length === rowsOf(batch);
  sound &&= offsets[0] === 0 && offsets[offsets.length - 1] === tokens;
  for (let row = 0; sound && row < rowsOf(batch); row++)
    sound = (offsets[row] ?? 0) <= (offsets[row + 1] ?? 0);
  for (const column of Object.values(columns)) sound &&= column.length === tokens;
  if (!sound) {
    throw inputError(
      'broken-batch',
      `${placeOf(source)}: offsets, sequence ids and columns of a batch of ${tokens} tokens do not fit together; run tokensieve verify`,
    );
  }
}

/** [tokens] 1 where every column has a loss, 0 where none has. */
function eligibilityOf(
  source: PartSource,
  batch: SequenceBatch,
  columns: Tokens['columns'],
  scratch: Scratch,
): Uint8Array {
  const eligible = scratch.flags('eligible', tokensOf(batch));
  const entries = Object.entries(columns);
  for (const [index, [name, column]] of entries.entries()) {
    const wrong = index === 0 ? markEligible(column, eligible) : compareEligible(column, eligible);
    if (wrong < 0) continue;
    const loss = column[wrong] as number;
    if (!Number.isNaN(loss) && !isLoss(loss)) {
      throw inputError(
        'infinite-loss',
        `${tokenPlace(source, batch, wrong)}: ${name} is ${loss}, expected a finite number of nats; the scores overflowed, score this part again`,
      );
    }
    const other = entries[0]?.[0];
    throw inputError(
      'eligibility-differs',
      `${tokenPlace(source, batch, wrong)}: ${name} is ${loss} but ${other} is ${Number.isNaN(loss) ? 'a number' : 'NaN'}; both must have a loss or neither, score this part again`,
    );
  }
  return eligible;
}

const isLoss = (value: number): boolean => value <= LARGEST_LOSS && value >= -LARGEST_LOSS;

/** Writes 1 where the column has a loss, 0 where NaN. Returns the first token whose loss is none, −1 if all are. */
function markEligible(column: Float32Array, eligible: Uint8Array): number {
  for (let i = 0; i < column.length; i++) {
    const loss = column[i] as number;
    if (isLoss(loss)) eligible[i] = 1;
    else if (Number.isNaN(loss)) eligible[i] = 0;
    else return i;
  }
  return -1;
}

/** The first token whose loss is none, or that has one where `eligible` has none or the other way round; −1 if none. */
function compareEligible(column: Float32Array, eligible: Uint8Array): number {
  for (let i = 0; i < column.length; i++) {
    const loss = column[i] as number;
    if (isLoss(loss) ? eligible[i] === 1 : Number.isNaN(loss) && eligible[i] === 0) continue;
    return i;
  }
  return -1;
}

/** The documents of the tokens, in order, one run a segment. @throws input `broken-segments` */
export function* documentRuns(tokens: Tokens): Generator<DocumentRun> {
  const { batch, rowStart, rowEnd } = tokens;
  const { segments, offsets } = batch;
  for (let row = rowStart; row < rowEnd; row++) {
    const base = (offsets[row] ?? 0) - tokens.start;
    let covered = 0;
    for (let s = segments.offsets[row] ?? 0; s < (segments.offsets[row + 1] ?? 0); s++) {
      const start = segments.tokenStart[s];
      const count = segments.tokenCount[s] ?? 0;
      if (start !== covered || count < 0) break;
      covered += count;
      yield { document: segments.document[s] ?? -1n, start: base + start, end: base + covered };
    }
    const length = (offsets[row + 1] ?? 0) - (offsets[row] ?? 0);
    if (covered !== length) {
      throw inputError(
        'broken-segments',
        `${placeOf(tokens.source)} row ${batch.sequenceIds[row]}: its segments cover ${covered} of ${length} tokens in order; run tokensieve verify`,
      );
    }
  }
}
