/** The lines of a training report, gathered from metrics in one pass. */
import type { Point } from '../../plot/thin.js';
import type { StepMetrics } from '../step-metrics.js';

export interface Curve {
  readonly name: string;
  /** Tokens seen, value. */
  readonly points: readonly Point[];
}

export interface Curves {
  /** Training loss in nats: of all tokens, of selected, of unselected ones; only those that were measured. */
  readonly losses: readonly Curve[];
  /** Held-out losses in nats, in order of name. */
  readonly heldOut: readonly Curve[];
  readonly keptShare: Curve;
  readonly gradientNorm: Curve;
  readonly learningRate: Curve;
  readonly last: StepMetrics | null;
  /** Sum of the steps' own times. */
  readonly seconds: number;
}

export async function gatherCurves(steps: AsyncIterable<StepMetrics>): Promise<Curves> {
  const [all, selected, unselected] = [[], [], []] as [Point[], Point[], Point[]];
  const [kept, norm, rate] = [[], [], []] as [Point[], Point[], Point[]];
  const heldOut = new Map<string, Point[]>();
  let last: StepMetrics | null = null;
  let seconds = 0;
  for await (const step of steps) {
    const { tokens } = step;
    if (step.loss !== null) all.push([tokens, step.loss]);
    if (step.loss_unselected !== null) unselected.push([tokens, step.loss_unselected]);
    if (step.loss_selected !== null) selected.push([tokens, step.loss_selected]);
    if (step.eligible > 0) kept.push([tokens, step.kept / step.eligible]);
    if (step.gradient_norm !== null) norm.push([tokens, step.gradient_norm]);
    rate.push([tokens, step.learning_rate]);
    for (const [name, loss] of Object.entries(step.held_out ?? {})) {
      const points = heldOut.get(name) ?? [];
      points.push([tokens, loss]);
      heldOut.set(name, points);
    }
    seconds += step.seconds;
    last = step;
  }
  const losses = [
    { name: 'all', points: all },
    { name: 'selected', points: selected },
    { name: 'unselected', points: unselected },
  ];
  return {
    losses: losses.filter(({ points }) => points.length > 0),
    heldOut: [...heldOut].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, points]) => ({ name, points })),
    keptShare: { name: '', points: kept },
    gradientNorm: { name: '', points: norm },
    learningRate: { name: '', points: rate },
    last,
    seconds,
  };
}
