import { openSource, type Source } from '../../dataset/source.js';
import { usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { DataDescription, DataPosition, StepBatch } from '../batch.js';
import type { TrainSettings } from '../settings.js';
import { assembleBatch, type Row } from './assemble.js';
import { describeData } from './describe.js';
import { nextSource } from './mix.js';
import { rowsFrom } from './rows.js';

/** A step's rows, and the position behind them. */
export interface PositionedBatch {
  readonly batch: StepBatch;
  readonly position: DataPosition;
}

/** Training batches in an order that settings and files decide, and nothing else. */
export interface TrainingData {
  readonly description: DataDescription;
  readonly sources: readonly Source[];
  /**
   * Endless: the batches of the steps after `from`. From any position on they are
   * those of an uninterrupted run.
   * @throws TokensieveError usage `bad-position`; and, naming the file, whatever is wrong with a part when it is read
   */
  steps(from: DataPosition): AsyncGenerator<PositionedBatch, void, undefined>;
}

/** Where the first step of a run begins. */
export const startOf = ({ sources }: Pick<DataDescription, 'sources'>): DataPosition => ({
  rows: 0,
  sources: sources.map(() => 0),
});

/**
 * Opens the sources of a training run from their manifests; tokens are read as steps ask for them, one window of
 * rows ahead. In memory are two windows a source, which share `shuffle_tokens` among the sources.
 * @throws TokensieveError (usage) as `openSource` and `describeData` throw
 */
export async function openTrainingData(
  storage: Storage,
  settings: TrainSettings['data'],
  batch: Pick<TrainSettings['batch'], 'rows' | 'accumulate'>,
): Promise<TrainingData> {
  const sources = await Promise.all(settings.sources.map(({ path }) => openSource(storage, path)));
  const ratios = settings.sources.map(({ ratio }) => ratio);
  const description = describeData(sources, ratios);
  const windowTokens = Math.ceil(settings.shuffle_tokens / sources.length);
  const stepRows = batch.rows * batch.accumulate;

  async function* steps(from: DataPosition): AsyncGenerator<PositionedBatch, void, undefined> {
    checkPosition(from, sources.length);
    const counts = [...from.sources];
    const stop = new AbortController();
    const streams = sources.map((source, index) => {
      const rules = { seed: settings.seed, source: index, windowTokens };
      return rowsFrom(
        { storage, source, wanted: description, signal: stop.signal },
        rules,
        counts[index] ?? 0,
      );
    });
    try {
      while (true) {
        const rows: Row[] = [];
        while (rows.length < stepRows) {
          const index = nextSource(ratios, counts);
          const next = await streams[index]?.next();
          if (next === undefined || next.done) throw new Error(`the rows of source ${index} have an end`);
          rows.push(next.value);
          counts[index] = (counts[index] ?? 0) + 1;
        }
        const position = { rows: counts.reduce((sum, count) => sum + count, 0), sources: [...counts] };
        yield { batch: assembleBatch(rows, stepRows, description), position };
      }
    } finally {
      stop.abort();
      await Promise.allSettled(streams.map((stream) => stream.return(undefined)));
    }
  }
  return { description, sources, steps };
}

function checkPosition({ rows, sources }: DataPosition, expected: number): void {
  const sum = sources.reduce((total, count) => total + count, 0);
  const whole = [rows, ...sources].every((count) => Number.isSafeInteger(count) && count >= 0);
  if (sources.length === expected && sum === rows && whole) return;
  throw usageError(
    'bad-position',
    `a position of ${rows} rows, ${sources.join(' + ')} of the sources, is none of ${expected} source(s); go on with the sources that the run began with`,
  );
}
