import { mapAhead } from '../flow/map-ahead.js';
import type { Sequence } from '../sequence/sequence.js';
import { type Batch, type BatchRules, planBatches, windowsOf } from './batches.js';
import type { ModelRole } from './role.js';
import { type ScoredSequence, type Scorer, unscored } from './scorer.js';

/** Batches handed to the models ahead of the one being read: enough that a session never waits for JavaScript. */
const BATCHES_IN_FLIGHT = 3;

export interface ScoringRules extends BatchRules {
  readonly roles: readonly ModelRole[];
  readonly entropy: boolean;
}

/**
 * Scores a part's sequences, in order. Batches are cut from windows of the sequences alone, so their
 * composition, and with it every bit of the losses, does not depend on timing or on the number of workers.
 * Yields one group a window, in the order of the sequences.
 */
export async function* scoreSequences(
  sequences: AsyncIterable<readonly Sequence[]>,
  scorer: Pick<Scorer, 'score'>,
  rules: ScoringRules,
): AsyncGenerator<readonly ScoredSequence[]> {
  const results = mapAhead(jobsOf(sequences, rules), BATCHES_IN_FLIGHT, async (job) => ({
    job,
    scored: job.batch === null ? [] : await scorer.score(job.batch),
  }));
  let byId = new Map<number, ScoredSequence>();
  for await (const { job, scored } of results) {
    for (const one of scored) byId.set(one.sequence.id, one);
    if (job.window === null) continue;
    yield job.window.map(
      (sequence) => byId.get(sequence.id) ?? unscored(sequence, rules.roles, rules.entropy),
    );
    byId = new Map();
  }
}

/** A batch to score; the last job of each window carries the window, whose rows are then complete. */
interface Job {
  readonly batch: Batch | null;
  readonly window: readonly Sequence[] | null;
}

async function* jobsOf(
  sequences: AsyncIterable<readonly Sequence[]>,
  rules: BatchRules,
): AsyncGenerator<Job> {
  for await (const window of windowsOf(sequences, rules)) {
    const batches = planBatches(window, rules);
    if (batches.length === 0) yield { batch: null, window };
    for (const [index, batch] of batches.entries()) {
      yield { batch, window: index === batches.length - 1 ? window : null };
    }
  }
}
