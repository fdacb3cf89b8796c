import type { TokenSpan } from '../../dataset/align.js';
import type { DataSet } from '../../dataset/data-set.js';
import { inputError, usageError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { Dynamics } from './dynamics-report.js';
import { createDynamicsTally, createMeanLast, type LossSpan } from './dynamics-tally.js';
import {
  checkTokenizers,
  type ExpectedTokenizer,
  openRun,
  type SharedPart,
  sharedParts,
  sharedTokens,
} from './runs.js';
import { type Speller, spelled } from './sample.js';

export interface TokenDynamicsOptions {
  /** Class of a token's own text (word, number, math, …), for shares by class. */
  readonly classOf?: (id: number) => string;
  /** The tokenizer that `classOf` and `spellDynamics` know: runs of another one are refused. */
  readonly tokenizer?: ExpectedTokenizer;
  readonly seed?: number;
  /** Examples of each class, 6 unless given. */
  readonly examples?: number;
  readonly signal?: AbortSignal;
}

/**
 * How the losses of the same tokens go over training, by the paper's rule: a straight line is fitted to a token's
 * losses over the checkpoints' places 0 … n − 1; Δ is its end less its start. Δ > 0.2 is L→H, Δ < −0.2 is H→L; else
 * L→L where the last loss is at most the mean last loss, H→H where it is more. Nats.
 *
 * Reads every file twice, a record batch of each run in memory. A token with a loss at some checkpoints only (runs
 * of other attention or eligibility) is left out and counted.
 * @param runs scored folders of the same held-out text in training order, two or more; their `current_loss`, or where
 *   there is none `reference_loss`, is the checkpoint's
 * @throws TokensieveError (usage) `too-few-runs`, `no-parts`, `missing-column`; `not-comparable` where runs hold other
 *   parts or tokens; (input) `infinite-loss`
 */
export async function tokenDynamics(
  storage: Storage,
  runs: readonly string[],
  options: TokenDynamicsOptions = {},
): Promise<Dynamics> {
  if (runs.length < 2) {
    throw usageError(
      'too-few-runs',
      `token dynamics need two or more runs in training order, found ${runs.length}; score the same text with each checkpoint and name every --out folder`,
    );
  }
  const opened: DataSet[] = [];
  for (const run of runs) opened.push(await openRun(storage, run, 'scored'));
  checkTokenizers(opened, options.tokenizer);
  const { shared, others } = sharedParts(opened);
  const lacking = others.findIndex((names) => names.length > 0);
  if (shared.length === 0 || lacking >= 0) {
    throw usageError(
      'not-comparable',
      `${runs[lacking] ?? runs[0]} has ${others[lacking]?.[0] ?? 'no part'}, which not every run has; score the same shards with every checkpoint`,
    );
  }

  const means = createMeanLast();
  const columns = new Array<'current_loss' | 'reference_loss'>(runs.length).fill('current_loss');
  for await (const span of lossSpans(storage, shared, opened, options.signal, columns)) means.add(span);
  const { mean, tokens, unpaired } = means.result();
  if (mean === null) {
    throw usageError(
      'not-comparable',
      `no token has a loss in all of ${runs.join(', ')} (${unpaired} in some of them); score the same text with the same sequence settings`,
    );
  }
  const tally = createDynamicsTally({
    meanLast: mean,
    checkpoints: runs.length,
    ...(options.classOf !== undefined && { classOf: options.classOf }),
    seed: options.seed ?? 0,
    examples: options.examples ?? 6,
  });
  for await (const span of lossSpans(storage, shared, opened, options.signal, columns)) tally.add(span);
  const result = tally.result();
  if (result.tokens !== tokens) throw changed(runs);
  return { checkpoints: [...runs], columns, ...result, unpaired };
}

const changed = (runs: readonly string[]) =>
  inputError(
    'part-changed',
    `${runs.join(', ')}: changed while being read; wait for the run that writes there`,
  );

/** The report with the text of its examples. */
export const spellDynamics = (dynamics: Dynamics, texts: Speller): Dynamics => ({
  ...dynamics,
  classes: dynamics.classes.map((one) => ({
    ...one,
    examples: one.examples.map((example) => spelled(example, texts)),
  })),
});

async function* lossSpans(
  storage: Storage,
  shared: readonly SharedPart[],
  runs: readonly DataSet[],
  signal: AbortSignal | undefined,
  columns: ('current_loss' | 'reference_loss')[],
): AsyncGenerator<LossSpan> {
  for (const part of shared) {
    for await (const spans of sharedTokens(storage, part, signal)) {
      const losses = spans.map((span, i) => {
        columns[i] = span.columns.current_loss === undefined ? 'reference_loss' : 'current_loss';
        return lossesOf(span, runs[i]?.name ?? '', part);
      });
      const [first] = spans;
      if (first === undefined) continue;
      const { batch, rowStart, rowEnd } = first;
      yield { place: part, batch, rowStart, rowEnd, losses };
    }
  }
}

function lossesOf({ columns }: TokenSpan, run: string, { shard, part }: SharedPart): Float32Array {
  const losses = columns.current_loss ?? columns.reference_loss;
  if (losses === undefined) {
    throw usageError(
      'missing-column',
      `${run}: ${shard} part ${part} has no loss column; score it with --current`,
    );
  }
  for (const loss of losses) {
    if (Math.abs(loss) !== Number.POSITIVE_INFINITY) continue;
    throw inputError(
      'infinite-loss',
      `${run}: ${shard} part ${part} has a loss of ${loss}, expected a finite number of nats; the model overflowed: score it again`,
    );
  }
  return losses;
}
