import { fatalError, usageError } from '../errors.js';
import { type Conventions, conventionsOf, scopeOf } from './conventions.js';
import type { Method, Plan } from './method.js';
import { methodNamed } from './methods.js';
import { type PartSource, partKey } from './part-source.js';
import type { Prepared } from './preparation.js';
import { type ReadingOptions, readAll } from './read-all.js';
import { readTogether, type Together } from './read-together.js';
import { isWide, type Scope } from './scope.js';
import type { SelectionSettings } from './settings.js';
import { findConstantScore } from './spread.js';
import { newTally, type SelectionStatistics } from './statistics.js';
import { type Weighted, weighTokens, weighUnits } from './weigh.js';

/** Weights of one part. */
export interface Weighing {
  /** The part's batches in order, each once, with their weights. To be read once. */
  readonly batches: AsyncIterable<Weighted>;
  /** Counts so far: complete when `batches` is used up. */
  statistics(): SelectionStatistics;
}

export interface PrepareOptions extends ReadingOptions {
  /** Shares the reading with other processes; parts are then read one at a time in each. */
  readonly together?: Together | undefined;
}

/** A method with its settings, ready to be applied. Holds no state: the same parts give the same weights. */
export interface Selection {
  readonly method: Method;
  readonly plan: Plan;
  readonly scope: Scope;
  readonly conventions: Conventions;
  /** Whether weighing a data set reads its parts more than once. */
  readonly rereads: boolean;
  /**
   * Reads what the method needs to know beforehand: the cuts of `shard` and `dataset` scope (two or three
   * passes), what the method fits, and that there is something to select by (one batch, as a rule).
   * `parts` stand in global order: it decides ties.
   * @throws fatal `constant-scores`; whatever reading the parts throws.
   */
  prepare(parts: readonly PartSource[], options?: PrepareOptions): Promise<Prepared>;
  /** Weights of a part that was among those prepared. */
  weigh(part: PartSource, prepared: Prepared): Weighing;
}

/** @throws usage errors for settings that the method lacks or that do not apply to it. */
export function createSelection(
  settings: SelectionSettings,
  method: Method = methodNamed(settings.method),
): Selection {
  const plan = method.plan(settings);
  const scope = scopeOf(settings, method);
  return {
    method,
    plan,
    scope,
    conventions: conventionsOf(settings, method, plan),
    rereads: isWide(scope) || plan.unit !== 'token' || plan.fit !== undefined,

    async prepare(parts, { together, ...options } = {}) {
      checkDistinct(parts);
      if (!settings.allow_constant) await refuseConstant(parts, plan, method);
      const ranked = { method, plan, scope };
      return together === undefined
        ? readAll(ranked, parts, options)
        : readTogether(ranked, parts, { ...together, read: options.read });
    },

    weigh(source, prepared) {
      const tally = newTally(plan.unit === 'token' ? plan.rankings.length : 1);
      const cuts = prepared.cuts?.get(partKey(source)) ?? null;
      if (prepared.cuts !== null && cuts === null) {
        throw usageError(
          'part-not-prepared',
          `${source.shard} part ${source.part} was not among the parts that were prepared; prepare all parts of the data set together`,
        );
      }
      const job = { source, method: method.name, scope, cuts, fitted: prepared.fitted, tally };
      const batches = plan.unit === 'token' ? weighTokens({ ...job, plan }) : weighUnits({ ...job, plan });
      return { batches, statistics: () => ({ ...tally, cutoffs: [...tally.cutoffs] }) };
    },
  };
}

function checkDistinct(parts: readonly PartSource[]): void {
  const seen = new Set<string>();
  for (const part of parts) {
    const key = partKey(part);
    if (seen.has(key)) {
      throw usageError(
        'part-twice',
        `${part.shard} part ${part.part} is named twice; name each scored folder once`,
      );
    }
    seen.add(key);
  }
}

async function refuseConstant(parts: readonly PartSource[], plan: Plan, method: Method): Promise<void> {
  const constant = await findConstantScore(parts, plan, method.name);
  if (constant === null) return;
  const what = plan.unit === 'token' ? 'eligible tokens' : `${plan.unit}s`;
  throw fatalError(
    'constant-scores',
    `all ${constant.eligible} ${what} have the same score ${constant.value} (${plan.score}): nothing to select by; use two different models, or --allow-constant to go on`,
  );
}
