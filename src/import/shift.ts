/**
 * Whether values stand beside the ids that they belong to. Programs give the loss of the next token (the cross-entropy of shifted logits), cut or
 * filled up to the length of the ids, and an import of such goes through with every loss at another token. Ids cannot tell, as they are right; the
 * values do: one where nothing precedes cannot be, what was filled in stands at each record's end or beginning, and a token's own id foretells
 * its loss better than the ids beside it do.
 */
import { fatalError, type TokensieveError } from '../errors.js';

/** A record laid over its row or document, by position. */
export interface LaidRecord {
  /** Of the source, and of the run, for messages. */
  readonly place: string;
  readonly name: string;
  readonly ids: readonly number[];
  /** As the source has them, NaN where it has none. */
  readonly values: readonly number[];
  readonly targets: readonly boolean[];
  /** Positions that the source has values for, null or not: [from, to). */
  readonly given: readonly [from: number, to: number];
}

export interface ShiftWatch {
  /** @throws TokensieveError (fatal) `shifted` where a value cannot be */
  record(record: LaidRecord): void;
  /** At a part's end, before it is committed. @throws TokensieveError (fatal) `shifted` where all records or most tokens say so */
  check(): void;
}

/** Tokens that are compared with their frequencies; more would say the same. */
const MOST_TOKENS = 1 << 15;
/** Fewer decide nothing: docs/imports.md has what was measured. */
const LEAST_TOKENS = 4000;
/**
 * By how much more than their own id a neighbour must foretell losses. The id before is what a token is predicted from, and in text of single
 * characters tells nearly as much as the own; the id behind never does.
 */
const NEXT_OVER_OWN = 0.04;
const PREVIOUS_OVER_OWN = 0.12;
/** Other values among which a filled-in one stands out. */
const LEAST_OTHERS = 16;

/** Values that were filled in at one end of each record. */
interface Ends {
  /** Records that have a target there, and how many have exactly 0 or nothing there. */
  zero: number;
  missing: number;
}

export function createShiftWatch(): ShiftWatch {
  const sample = {
    ids: new Int32Array(MOST_TOKENS),
    values: new Float32Array(MOST_TOKENS),
    begins: new Uint8Array(MOST_TOKENS),
  };
  let sampled = 0;
  const ends: Readonly<Record<'first' | 'last', Ends>> = {
    first: { zero: 0, missing: 0 },
    last: { zero: 0, missing: 0 },
  };
  let records = 0;
  const others = { zero: 0, missing: 0, all: 0 };
  let before: { readonly id: number | undefined; readonly value: number | undefined } | null = null;
  let last: LaidRecord | null = null;
  let checked = 0;

  return {
    record(record) {
      const { ids, values, targets, given } = record;
      const [from, to] = given;
      const [value = Number.NaN] = values;
      // A stream of rows that repeat the id before has its loss twice, rightly.
      const isRepeated = before !== null && before.id === ids[0] && before.value === value;
      if (from === 0 && targets[0] === false && Number.isFinite(value) && value !== 0 && !isRepeated) {
        throw valueOfNothing(record, value);
      }
      before = { id: ids[to - 1], value: values[to - 1] };
      const within = targets.slice(from, to);
      const firstTarget = from + within.indexOf(true);
      const lastTarget = from + within.lastIndexOf(true);
      if (lastTarget > firstTarget) {
        last = record;
        records++;
        // A record's first value is nothing where it is a target, too, in sources that have a record a document.
        const start = firstTarget === 0 ? firstTarget + 1 : firstTarget;
        for (let i = start; i <= lastTarget; i++) {
          if (!targets[i]) continue;
          const kind = values[i] === 0 ? 'zero' : Number.isFinite(values[i]) ? null : 'missing';
          if (i === start || i === lastTarget) {
            if (kind !== null) ends[i === lastTarget ? 'last' : 'first'][kind]++;
          } else {
            others.all++;
            if (kind !== null) others[kind]++;
          }
        }
      }
      for (let i = from; i < to && sampled < MOST_TOKENS; i++, sampled++) {
        sample.ids[sampled] = ids[i] ?? 0;
        sample.values[sampled] = targets[i] ? (values[i] ?? Number.NaN) : Number.NaN;
        sample.begins[sampled] = i === from ? 1 : 0;
      }
    },
    check() {
      if (last === null) return;
      if (records >= 2 && others.all >= LEAST_OTHERS) {
        for (const end of ['last', 'first'] as const) {
          for (const kind of ['zero', 'missing'] as const) {
            if (ends[end][kind] === records && others[kind] === 0) throw filledIn(last, records, end, kind);
          }
        }
      }
      if (sampled === checked) return;
      checked = sampled;
      const found = explainedBy({
        ids: sample.ids.subarray(0, sampled),
        values: sample.values.subarray(0, sampled),
        begins: sample.begins.subarray(0, sampled),
      });
      const side = found === null ? null : neighbourOf(found);
      if (found !== null && side !== null) throw fitsNeighbour(last, found, side);
    },
  };
}

/** Shares of the losses' variance, from values at or below 0 (nothing) to 1 (all). */
export interface Explained {
  readonly tokens: number;
  readonly own: number;
  readonly next: number;
  readonly previous: number;
}

export interface Sample {
  readonly ids: Int32Array;
  readonly values: Float32Array;
  /** [tokens] 1 where a record begins. */
  readonly begins: Uint8Array;
}

/** Tokens side by side that are of one half. */
const STRETCH = 50;
/** Tokens of the overall mean that each id's mean is drawn towards it by. */
const PRIOR = 3;

/**
 * How much of the losses the mean loss of their own id foretells, and of the ids beside it: means of one half of the stretches, held against the other
 * half. Over the tokens that have a loss and both neighbours in their record; null when there are too few.
 */
export function explainedBy(sample: Sample): Explained | null {
  const { ids, values, begins } = sample;
  const taken: number[] = [];
  for (let i = 1; i + 1 < ids.length; i++) {
    if (Number.isFinite(values[i]) && begins[i] !== 1 && begins[i + 1] !== 1) taken.push(i);
  }
  if (taken.length < LEAST_TOKENS) return null;
  const share = (lag: number): number => {
    let [left, all] = [0, 0];
    for (const half of [0, 1]) {
      const isFitted = (i: number): boolean => (Math.floor(i / STRETCH) & 1) === half;
      const sums = new Map<number, { sum: number; count: number }>();
      const fitted = taken.filter(isFitted);
      const mean = fitted.reduce((sum, i) => sum + (values[i] ?? 0), 0) / fitted.length;
      for (const i of fitted) {
        const entry = sums.get(ids[i + lag] ?? 0) ?? { sum: PRIOR * mean, count: PRIOR };
        sums.set(ids[i + lag] ?? 0, { sum: entry.sum + (values[i] ?? 0), count: entry.count + 1 });
      }
      for (const i of taken) {
        if (isFitted(i)) continue;
        const entry = sums.get(ids[i + lag] ?? 0);
        const foretold = entry === undefined ? mean : entry.sum / entry.count;
        left += ((values[i] ?? 0) - foretold) ** 2;
        all += ((values[i] ?? 0) - mean) ** 2;
      }
    }
    return all === 0 ? 0 : 1 - left / all;
  };
  return { tokens: taken.length, own: share(0), next: share(1), previous: share(-1) };
}

/** The neighbour that the losses belong to, or null. */
export function neighbourOf({ own, next, previous }: Explained): 'next' | 'previous' | null {
  if (next - own > NEXT_OVER_OWN) return 'next';
  return previous - own > PREVIOUS_OVER_OWN && own < previous / 2 ? 'previous' : null;
}

const REMEDY =
  'value i is to be the loss of id i, with null for the first where nothing precedes it; a cross-entropy of shifted logits has its first value at the second id';

const percent = (share: number): string => `${Math.round(100 * Math.max(0, share))} %`;

const shifted = (what: string): TokensieveError =>
  fatalError('shifted', `${what}; ${REMEDY}. Nothing of this part was written`);

const valueOfNothing = ({ place, name, ids }: LaidRecord, value: number): TokensieveError =>
  shifted(
    `${place}: position 0 (${name}, id ${ids[0]}): a loss of ${value}, but nothing precedes the token: the values seem shifted by one (if the program put a token of its own before the record, leave its first value null)`,
  );

const filledIn = (
  { place }: LaidRecord,
  records: number,
  end: 'first' | 'last',
  kind: 'zero' | 'missing',
): TokensieveError =>
  shifted(
    `${place}: this and all ${records} records so far have ${kind === 'zero' ? 'exactly 0' : 'no value'} for their ${end} target and for no other: the values seem shifted by one, and that filled in`,
  );

const fitsNeighbour = (
  { place }: LaidRecord,
  { tokens, own, next, previous }: Explained,
  side: 'next' | 'previous',
): TokensieveError =>
  shifted(
    `${place}: over ${tokens} tokens up to here the ${side} id foretells ${percent(side === 'next' ? next : previous)} of the losses' variance and the own id ${percent(own)}: the values seem shifted by one`,
  );
