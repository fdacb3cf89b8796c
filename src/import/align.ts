/**
 * Records of losses laid over the rows of a run, token by token. A record is a row, or a document that may go on over
 * several rows, in which some ids are repeated; either way every id is compared before its loss is taken.
 */
import { rowsOf, type SequenceBatch } from '../dataset/sequence-batch.js';
import { fatalError, type TokensieveError } from '../errors.js';
import type { LossRecord } from './record.js';
import type { ShiftWatch } from './shift.js';
import type { RecordReader } from './sources.js';
import { UNKNOWN_ID } from './vllm.js';

/** Losses below this are no rounding: a probability is not above 1. */
const LEAST_LOSS = -1e-3;

export interface AlignRules {
  readonly per: 'row' | 'document';
  /** Null where none is inserted; a record may leave a document's or row's first one out. */
  readonly bosId: number | null;
  /** Ids that a row repeats of the same document in the row before. */
  readonly overlap: number;
  readonly missing: 'refuse' | 'exclude';
  /** Whether a record has one number, its mean, which every target of it is given. */
  readonly means: 'refuse' | 'spread';
}

/** Targets without a loss, side by side in one record. */
export interface ExcludedRun {
  readonly reason: 'no-loss' | 'infinite-loss';
  /** Row of the document in its shard, or of the part. */
  readonly row: number;
  readonly position: number;
  readonly tokens: number;
  readonly place: string;
}

/** What became of a part's values. */
export interface AlignCounts {
  /** Targets excluded. */
  excluded: number;
  /** Losses a little below 0, which are kept. */
  negative: number;
}

export interface Aligner {
  /**
   * Losses of the batch's tokens, fp32 nats: NaN where a token is no target, or has none.
   * @param isTarget [tokens]
   */
  batch(batch: SequenceBatch, isTarget: (token: number) => boolean): Promise<Float32Array>;
  /** After the part's last batch: the open record must be used up. */
  finish(): void;
  /** Runs of excluded targets since the last call. */
  takeExcluded(): readonly ExcludedRun[];
  readonly counts: Readonly<AlignCounts>;
}

/**
 * Aligns one part; the reader stands at the part's first record.
 * @param watch sees the records of all parts
 * @param part names it, for messages
 * @throws TokensieveError (fatal) from `batch` and `finish`: `ids-differ`, `lengths-differ`, `no-loss`, `negative-loss`,
 *   `sources-end`, `shifted`
 */
export function createAligner(
  reader: RecordReader,
  part: string,
  rules: AlignRules,
  watch: ShiftWatch,
): Aligner {
  const counts: AlignCounts = { excluded: 0, negative: 0 };
  let excluded: ExcludedRun[] = [];
  let unit: OpenUnit | null = null;

  const open = async (row: number, firstId: number): Promise<OpenUnit> => {
    const name = rules.per === 'row' ? `${part}, row ${row}` : `${part}, document ${row}`;
    const record = await reader.next();
    if (record === null) {
      throw fatalError(
        'sources-end',
        `${name}: the sources end before it; they are to have a record for every ${rules.per} of the run, in its order`,
      );
    }
    const { ids, losses, place } = record;
    if ((typeof losses === 'number') !== (rules.means === 'spread')) {
      throw fatalError(
        'means',
        typeof losses === 'number'
          ? `${place}: one number for ${name}; if it is the mean over its targets, --means spread gives it to each of them, for methods that rank rows or documents`
          : `${place}: a list of values for ${name}; --means spread is for sources with one number a record`,
      );
    }
    if (ids !== null && typeof losses !== 'number' && losses.length !== ids.length) {
      throw fatalError(
        'lengths-differ',
        `${place}: ${ids.length} ids and ${losses.length} values; there is to be one value an id, null for the first where it has none`,
      );
    }
    const lead =
      firstId === rules.bosId && ids !== null && ids[0] !== firstId && ids[0] !== UNKNOWN_ID ? 1 : 0;
    return { name, row, record, lead, at: 0, ids: [], targets: [] };
  };

  const take = (own: OpenUnit, id: number, isTarget: boolean): number => {
    const position = own.at++;
    const { ids, losses } = own.record;
    const index = position - own.lead;
    const length = typeof losses === 'number' ? Number.POSITIVE_INFINITY : losses.length;
    if (ids !== null && index >= 0 && index < ids.length) {
      const found = ids[index] ?? UNKNOWN_ID;
      if (found !== id && found !== UNKNOWN_ID) throw idsDiffer(own, position, found, id);
    }
    if (ids === null && index >= length)
      throw lengthsDiffer(own, `${length} values`, `more than ${index} tokens`);
    own.ids[position] = id;
    own.targets[position] = isTarget || own.targets[position] === true;
    if (!isTarget) return Number.NaN;
    const value = typeof losses === 'number' ? losses : valueAt(losses, index);
    const loss = Math.fround(value) + 0;
    if (loss >= 0 && loss < Number.POSITIVE_INFINITY) return loss;
    if (loss < LEAST_LOSS && loss > Number.NEGATIVE_INFINITY) throw negativeLoss(own, position, loss);
    if (loss < 0 && loss > Number.NEGATIVE_INFINITY) {
      counts.negative++;
      return loss;
    }
    const reason = Number.isNaN(loss) ? 'no-loss' : 'infinite-loss';
    if (rules.missing === 'refuse') throw noLoss(own, position, id, loss, index >= length ? length : null);
    counts.excluded++;
    const last = excluded.at(-1);
    if (
      last !== undefined &&
      last.row === own.row &&
      last.reason === reason &&
      last.position + last.tokens === position
    ) {
      excluded[excluded.length - 1] = { ...last, tokens: last.tokens + 1 };
    } else excluded.push({ reason, row: own.row, position, tokens: 1, place: own.record.place });
    return Number.NaN;
  };

  const done = (own: OpenUnit): void => {
    close(own);
    const { losses, place } = own.record;
    if (typeof losses === 'number') return;
    const values = own.ids.map((_, position) => losses[position - own.lead] ?? Number.NaN);
    const given = [own.lead, Math.min(own.ids.length, losses.length + own.lead)] as const;
    watch.record({ place, name: own.name, ids: own.ids, values, targets: own.targets, given });
  };

  return {
    counts,
    async batch(batch, isTarget) {
      const { offsets, inputIds, segments } = batch;
      const losses = new Float32Array(inputIds.length).fill(Number.NaN);
      for (let row = 0; row < rowsOf(batch); row++) {
        const [start, end] = [offsets[row] ?? 0, offsets[row + 1] ?? 0];
        if (rules.per === 'row') {
          const id = Number(batch.sequenceIds[row]);
          unit = end > start ? await open(id, inputIds[start] ?? 0) : null;
          for (let token = start; unit !== null && token < end; token++) {
            losses[token] = take(unit, inputIds[token] ?? 0, isTarget(token));
          }
          if (unit !== null) done(unit);
          unit = null;
          continue;
        }
        const first = segments.offsets[row] ?? 0;
        for (let s = first; s < (segments.offsets[row + 1] ?? 0); s++) {
          const document = Number(segments.document[s]);
          const from = start + (segments.tokenStart[s] ?? 0);
          const to = from + (segments.tokenCount[s] ?? 0);
          if (from === to) continue;
          if (unit !== null && unit.row === document) {
            // A row begins with ids that the one before ended with.
            if (s === first) unit.at = Math.max(0, unit.at - rules.overlap);
          } else {
            if (unit !== null) done(unit);
            unit = await open(document, inputIds[from] ?? 0);
          }
          for (let token = from; token < to; token++) {
            losses[token] = take(unit, inputIds[token] ?? 0, isTarget(token));
          }
        }
      }
      return losses;
    },
    finish() {
      if (unit !== null) done(unit);
      unit = null;
      watch.check();
    },
    takeExcluded() {
      const taken = excluded;
      excluded = [];
      return taken;
    },
  };
}

/** A row or document of the run with the record that is laid over it. */
interface OpenUnit {
  readonly name: string;
  readonly row: number;
  readonly record: LossRecord;
  /** 1 where the record leaves the first BOS out. */
  readonly lead: 0 | 1;
  /** Position of the next token. */
  at: number;
  /** [tokens] what the run has there, for the watch. */
  readonly ids: number[];
  readonly targets: boolean[];
}

/** A record may say nothing of the last tokens, but nothing of tokens that are not there. */
function close(own: OpenUnit): void {
  const { losses, ids } = own.record;
  const given = own.at - own.lead;
  const length = ids?.length ?? (typeof losses === 'number' ? given : losses.length);
  if (length > given || (ids === null && length < given)) {
    throw lengthsDiffer(own, `${length} ${ids === null ? 'values' : 'ids'}`, `${given} tokens`);
  }
}

const ORDER =
  "records are to be the run's rows or documents (--per) in the run's order, tokenized by its tokenizer; nothing of this part was written";

const idsDiffer = (
  { name, record }: OpenUnit,
  position: number,
  found: number,
  expected: number,
): TokensieveError =>
  fatalError(
    'ids-differ',
    `${record.place}: position ${position}: id ${found}, but ${name} has id ${expected} there; ${ORDER}`,
  );

const lengthsDiffer = ({ name, record }: OpenUnit, found: string, expected: string): TokensieveError =>
  fatalError('lengths-differ', `${record.place}: ${found}, but ${name} has ${expected}; ${ORDER}`);

const negativeLoss = ({ name, record }: OpenUnit, position: number, loss: number): TokensieveError =>
  fatalError(
    'negative-loss',
    `${record.place}: position ${position} (${name}): a loss of ${loss} nats, below 0; say --values logprobs if these are log-probabilities, losses if they are not`,
  );

function noLoss(
  { name, record }: OpenUnit,
  position: number,
  id: number,
  loss: number,
  length: number | null,
): TokensieveError {
  const what =
    length !== null
      ? `the record ends after ${length} tokens`
      : Number.isNaN(loss)
        ? 'no loss'
        : `a loss of ${loss}`;
  return fatalError(
    'no-loss',
    `${record.place}: position ${position} (${name}, id ${id}): ${what}, and the token is a target; --missing exclude takes such tokens out of the targets and counts them`,
  );
}

/** A record's first token follows nothing: the 0 that some tools save there is no loss. */
const valueAt = (losses: ArrayLike<number | null>, index: number): number =>
  index === 0 && losses[0] === 0 ? Number.NaN : (losses[index] ?? Number.NaN);
