/** Held-out loss against tokens, and how two sets of runs compare by it. Pure. */

/** One measurement of a held-out loss (nats a token). `tokens` are targets seen by then, 0 for the start. */
export interface Measurement {
  readonly step: number;
  readonly tokens: number;
  readonly loss: number;
}

/** A run's measurements, first to last. */
export type Curve = readonly Measurement[];

/** Mean, sample standard deviation (null for a single value) and range of what several runs gave. */
export interface Spread {
  readonly mean: number;
  readonly deviation: number | null;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** @throws RangeError for no values */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('no values to take a mean of');
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    deviation: values.length === 1 ? null : Math.sqrt(squares / (values.length - 1)),
    low: Math.min(...values),
    high: Math.max(...values),
    count: values.length,
  };
}

/**
 * Tokens after which a curve first is at `target` or below, on straight lines between measurements; null when it
 * never is. A curve whose first measurement is there already was so at that many tokens or fewer.
 */
export function tokensToReach(curve: Curve, target: number): number | null {
  let before: Measurement | null = null;
  for (const point of curve) {
    if (point.loss <= target) {
      if (before === null) return point.tokens;
      const share = (before.loss - target) / (before.loss - point.loss);
      return before.tokens + share * (point.tokens - before.tokens);
    }
    before = point;
  }
  return null;
}

/** A measurement that every run of an arm made. */
export interface MeanPoint {
  readonly step: number;
  /** Mean over runs: runs of one step count differ a little in targets seen. */
  readonly tokens: number;
  readonly loss: Spread;
}

/** The steps that all curves have, with mean and spread. */
export function meanCurve(curves: readonly Curve[]): MeanPoint[] {
  const [first = []] = curves;
  return first.flatMap(({ step }) => {
    const points = curves.flatMap((curve) => curve.find((point) => point.step === step) ?? []);
    if (points.length < curves.length) return [];
    return [
      {
        step,
        tokens: spreadOf(points.map(({ tokens }) => tokens)).mean,
        loss: spreadOf(points.map(({ loss }) => loss)),
      },
    ];
  });
}

/** How an arm does beside the baseline, run by run: the n-th runs of both saw the same tokens in the same order. */
export interface Comparison {
  /** Losses at the last step that every run of both measured. */
  readonly tokens: number;
  readonly baseline: Spread;
  readonly arm: Spread;
  /** Arm minus baseline, pair by pair: below 0 the arm is ahead at equal tokens. */
  readonly difference: Spread;
  /** Pairs in which the arm is ahead. */
  readonly ahead: number;
  /** Runs of the arm that reach their baseline's last loss. */
  readonly reached: number;
  /** Tokens that those took; null when none did. */
  readonly tokensToBaseline: Spread | null;
  /** Baseline's tokens over the arm's, of those: 2 is half the tokens. Null when none did, or one began there. */
  readonly ratio: Spread | null;
}

/** Null when there is no step that all runs measured. */
export function compareArms(baseline: readonly Curve[], arm: readonly Curve[]): Comparison | null {
  const last = meanCurve([...baseline, ...arm]).at(-1);
  if (last === undefined || baseline.length !== arm.length) return null;
  const upTo = (curve: Curve): Curve => curve.filter(({ step }) => step <= last.step);
  const pairs = baseline.flatMap((curve, index) => {
    const [mine, theirs] = [upTo(arm[index] ?? []), upTo(curve)];
    const [end, target] = [mine.at(-1), theirs.at(-1)];
    if (end === undefined || target === undefined) return [];
    return [{ end, target, taken: tokensToReach(mine, target.loss) }];
  });
  const taken = pairs.flatMap((pair) => pair.taken ?? []);
  const ratios = pairs.flatMap((pair) => (pair.taken === null ? [] : pair.target.tokens / pair.taken));
  return {
    tokens: spreadOf(pairs.map(({ target }) => target.tokens)).mean,
    baseline: spreadOf(pairs.map(({ target }) => target.loss)),
    arm: spreadOf(pairs.map(({ end }) => end.loss)),
    difference: spreadOf(pairs.map(({ end, target }) => end.loss - target.loss)),
    ahead: pairs.filter(({ end, target }) => end.loss < target.loss).length,
    reached: taken.length,
    tokensToBaseline: taken.length === 0 ? null : spreadOf(taken),
    ratio: taken.length === 0 || taken.includes(0) ? null : spreadOf(ratios),
  };
}
