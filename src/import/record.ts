/** What every form of source becomes: records of ids and losses, one at a time. */
import { inputError, type TokensieveError } from '../errors.js';
import { ExactNumber } from '../json/exact-number.js';

/** A row or a document as a source has it. */
export interface LossRecord {
  /** The source and the place in it, for messages: `losses.parquet: row 7`. */
  readonly place: string;
  /** Null where the source has none. */
  readonly ids: Int32Array | null;
  /** Nats, one a token; NaN where the source has no value. A number is the mean of the whole record. */
  readonly losses: Float64Array | number;
}

/** Most tokens of one record: the longest row that token files take. */
export const MAX_RECORD_TOKENS = 1 << 24;

/** Turns values as the source has them into losses in nats. */
export interface ValueRules {
  readonly values: 'losses' | 'logprobs';
  readonly unit: 'nats' | 'bits';
}

/** Factor from a source's value to nats of loss. */
export const scaleOf = ({ values, unit }: ValueRules): number =>
  (values === 'logprobs' ? -1 : 1) * (unit === 'bits' ? Math.LN2 : 1);

export const badSource = (place: string, what: string): TokensieveError =>
  inputError('bad-source', `${place}: ${what}`);

/**
 * Ids from any list of numbers or bigints.
 * @throws TokensieveError (input) `bad-source` for one that is no id
 */
export function idsOf(values: ArrayLike<unknown>, place: string): Int32Array {
  checkLength(values.length, place);
  const ids = new Int32Array(values.length);
  for (let i = 0; i < ids.length; i++) {
    const value = values[i];
    const id = typeof value === 'bigint' ? Number(value) : value;
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > 0x7fffffff) {
      throw badSource(place, `position ${i}: ${shown(value)} is no token id; ids are whole numbers from 0`);
    }
    ids[i] = id;
  }
  return ids;
}

/**
 * Losses in nats from any list of numbers; null is NaN.
 * @throws TokensieveError (input) `bad-source` for a value that is neither
 */
export function lossesOf(values: ArrayLike<unknown>, place: string, scale: number): Float64Array {
  checkLength(values.length, place);
  const losses = new Float64Array(values.length);
  for (let i = 0; i < losses.length; i++) losses[i] = lossOf(values[i], place, i, scale);
  return losses;
}

/** One loss in nats. Parquet's reader and JSON writers spell what is not finite as text. */
export function lossOf(value: unknown, place: string, position: number, scale: number): number {
  if (value === null || value === undefined) return Number.NaN;
  const known = typeof value === 'string' ? SPELLED.get(value) : value;
  if (typeof known !== 'number') throw badSource(place, `position ${position}: ${shown(value)} is no number`);
  return known * scale;
}

const SPELLED: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** @throws TokensieveError (input) `bad-source` for a record longer than any row may be */
export function checkLength(length: number, place: string): void {
  if (length <= MAX_RECORD_TOKENS) return;
  throw badSource(place, `${length} values in one record; at most ${MAX_RECORD_TOKENS} are taken`);
}

/** A value of a source, short enough for a message. */
export function shown(value: unknown): string {
  const text =
    typeof value === 'bigint' || value instanceof ExactNumber
      ? String(value)
      : typeof value === 'object' && value !== null
        ? Array.isArray(value)
          ? 'a list'
          : 'an object'
        : JSON.stringify(value);
  return (text ?? 'nothing').slice(0, 40);
}

/** Column names that are looked for, in order. */
export const ID_NAMES = ['input_ids', 'token_ids', 'ids', 'prompt_token_ids'] as const;
const LOSS_NAMES = ['reference_loss', 'losses', 'loss', 'token_losses'] as const;
const LOGPROB_NAMES = ['logprobs', 'token_logprobs'] as const;

export interface ColumnNames {
  readonly ids_column?: string | undefined;
  readonly losses_column?: string | undefined;
  readonly values?: 'losses' | 'logprobs' | undefined;
  readonly ids: 'check' | 'absent';
}

/** The columns of a source that hold ids and values, and what the values are. */
export interface ChosenColumns {
  /** Null where the source has no ids, as was said. */
  readonly ids: string | null;
  readonly losses: string;
  readonly values: 'losses' | 'logprobs';
}

/**
 * Finds the two columns by name.
 * @throws TokensieveError (input) `no-such-column` naming what there is
 */
export function chooseColumns(
  there: readonly string[],
  { ids_column, losses_column, values, ids }: ColumnNames,
  place: string,
): ChosenColumns {
  const find = (wanted: string | undefined, known: readonly string[], what: string, flag: string): string => {
    const found =
      wanted === undefined
        ? known.find((name) => there.includes(name))
        : there.find((name) => name === wanted);
    if (found !== undefined) return found;
    const missing = wanted === undefined ? `none of ${known.join(', ')}` : `no ${JSON.stringify(wanted)}`;
    const shown = there.slice(0, 30).join(', ');
    throw inputError(
      'no-such-column',
      `${place}: ${missing} for the ${what}; it has ${shown || 'no columns'}. Name the right one with ${flag}`,
    );
  };
  // What they are called does not bind who says what they are.
  const names = values === 'logprobs' ? [...LOGPROB_NAMES, ...LOSS_NAMES] : [...LOSS_NAMES, ...LOGPROB_NAMES];
  const losses = find(losses_column, names, 'losses', '--losses-column');
  return {
    ids:
      ids === 'absent'
        ? null
        : find(ids_column, ID_NAMES, 'token ids', '--ids-column (or --ids absent where there are none)'),
    losses,
    values: values ?? ((LOGPROB_NAMES as readonly string[]).includes(losses) ? 'logprobs' : 'losses'),
  };
}
