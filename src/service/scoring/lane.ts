import { TokensieveError } from '../../errors.js';
import { type BatchRules, planBatches } from '../../score/batches.js';
import type { ScoredSequence, Scorer } from '../../score/scorer.js';
import type { Sequence } from '../../sequence/sequence.js';
import { createClock } from './clock.js';
import type { LoadedModels } from './models.js';
import { nextBatch, type WaitingRow } from './plan.js';
import { createRate } from './rate.js';

/** Batches given to the models at once: while one runs the next is there, and no more is planned ahead than that. */
const BATCHES_IN_FLIGHT = 2;

/** How far the requests that come may go before the common clock, in batches. */
const SLACK_BATCHES = 8;

/** After these a session answers nothing more. */
const SESSION_ENDS: ReadonlySet<string> = new Set(['session-failed', 'out-of-memory']);

/** Rows of requests, run by one pair of models in batches that requests share. */
export interface Lane {
  /**
   * Scores rows, each of which has a target; results in the order of the rows. Rejects with the signal's reason as
   * soon as it is raised: rows that wait are then forgotten.
   * @param started told the tokens of every row when the models get it
   */
  run(
    rows: readonly Sequence[],
    signal: AbortSignal,
    started: (tokens: number) => void,
  ): Promise<ScoredSequence[]>;
  figures(): LaneFigures;
  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void>;
}

export interface LaneFigures {
  /** Tokens given to the models and not answered. */
  readonly runningTokens: number;
  /** Since the start, of rows answered. */
  readonly scoredTokens: number;
  readonly batches: number;
  /** Positions of these batches, padding included. */
  readonly positions: number;
  readonly failedBatches: number;
  /** While at work; null before the first batch. */
  readonly tokensPerSecond: number | null;
}

/** Rows of one request. */
interface Job {
  readonly id: number;
  readonly results: ScoredSequence[];
  left: number;
  readonly started: (tokens: number) => void;
  /** Ends the job, with an error unless it is null; again does nothing. */
  settle(error: unknown): void;
}

interface Entry extends WaitingRow {
  readonly sequence: Sequence;
  readonly index: number;
  readonly job: Job;
}

export function createLane(models: Pick<LoadedModels, 'get' | 'drop'>, rules: BatchRules): Lane {
  const open = new Set<Job>();
  let waiting: Entry[] = [];
  let inFlight = 0;
  let rows = 0;
  let jobs = 0;
  const clock = createClock(SLACK_BATCHES * rules.batchTokens);
  const counts = { runningTokens: 0, scoredTokens: 0, batches: 0, positions: 0, failedBatches: 0 };
  const rate = createRate();
  let whenIdle: (() => void)[] = [];

  const tellIdle = (): void => {
    if (open.size > 0 || inFlight > 0) return;
    for (const tell of whenIdle) tell();
    whenIdle = [];
  };

  const pump = (): void => {
    while (inFlight < BATCHES_IN_FLIGHT && waiting.length > 0) {
      const entries = nextBatch(waiting, rules);
      const taken = new Set(entries);
      waiting = waiting.filter((entry) => !taken.has(entry));
      inFlight++;
      void runBatch(entries).finally(() => {
        inFlight--;
        pump();
        tellIdle();
      });
    }
  };

  const runBatch = async (entries: readonly Entry[]): Promise<void> => {
    const tokens = entries.reduce((sum, { length }) => sum + length, 0);
    clock.began(tokens, open.size);
    counts.runningTokens += tokens;
    for (const { job, length } of entries) job.started(length);
    let scorer: Scorer | null = null;
    try {
      scorer = await models.get();
      const scored = await scoreBatch(scorer, entries, tokens);
      entries.forEach(({ job, index }, row) => {
        const one = scored[row];
        if (one !== undefined) job.results[index] = one;
        if (--job.left === 0) job.settle(null);
      });
    } catch (error) {
      counts.failedBatches++;
      if (scorer === null) for (const job of [...open]) job.settle(error);
      else await failBatch(scorer, entries, error);
    } finally {
      counts.runningTokens -= tokens;
    }
  };

  const scoreBatch = async (
    scorer: Scorer,
    entries: readonly Entry[],
    tokens: number,
  ): Promise<ScoredSequence[]> => {
    const sequences = entries.map(({ sequence }) => sequence);
    const [batch] = planBatches(sequences, rules);
    if (batch?.sequences.length !== entries.length) {
      throw new Error(`${entries.length} rows of one length made a batch of ${batch?.sequences.length}`);
    }
    const began = performance.now();
    const scored = await scorer.score(batch);
    rate.note(tokens, began, performance.now());
    counts.batches++;
    counts.positions += batch.rows * batch.length;
    counts.scoredTokens += tokens;
    return scored;
  };

  /**
   * A session answers nothing after its first failure: the models are loaded anew, and the batches that were with
   * them are lost. Anything else is about some row: requests that shared the batch are run again, each by itself.
   */
  const failBatch = async (scorer: Scorer, entries: readonly Entry[], error: unknown): Promise<void> => {
    const dead = error instanceof TokensieveError && SESSION_ENDS.has(error.code);
    const shared = new Set(entries.map(({ job }) => job)).size > 1;
    if (!dead && shared) {
      for (const entry of entries) if (open.has(entry.job)) waiting.push({ ...entry, alone: true });
      return;
    }
    for (const { job } of entries) job.settle(error);
    if (dead) await models.drop(scorer);
  };

  return {
    run: (sequences, signal, started) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const abort = (): void => job.settle(signal.reason);
        const job: Job = {
          id: jobs++,
          results: new Array<ScoredSequence>(sequences.length),
          left: sequences.length,
          started,
          settle(error) {
            if (!open.delete(job)) return;
            signal.removeEventListener('abort', abort);
            waiting = waiting.filter((entry) => entry.job !== job);
            if (error === null) resolve(job.results);
            else reject(error);
            tellIdle();
          },
        };
        open.add(job);
        signal.addEventListener('abort', abort, { once: true });
        const begun = waiting.filter(({ index }) => index > 0).map((entry) => entry.turn);
        let turn = clock.turn(begun);
        sequences.forEach((sequence, index) => {
          const length = sequence.ids.length;
          waiting.push({ turn, order: rows++, length, request: job.id, alone: false, sequence, index, job });
          turn += length;
        });
        if (job.left === 0) job.settle(null);
        pump();
      }),
    figures: () => ({ ...counts, tokensPerSecond: rate.perSecond() }),
    idle: () =>
      open.size === 0 && inFlight === 0
        ? Promise.resolve()
        : new Promise((resolve) => whenIdle.push(resolve)),
  };
}
