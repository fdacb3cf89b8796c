/** The section of one held-out set: loss against tokens for every arm, and how the arms compare. Pure. */
import { type Comparison, type Curve, compareArms, meanCurve, type Spread } from './curves.js';
import type { Arm } from './read-runs.js';
import type { Section } from './section.js';

/** @param set name of a held-out set that every run measured · @param baseline name of an arm */
export function heldOutSection(set: string, arms: readonly Arm[], baseline: string): Section {
  const curvesOf = (arm: Arm): readonly Curve[] => arm.heldOut.get(set) ?? [];
  const base = arms.find(({ name }) => name === baseline);
  const others = arms.filter((arm) => arm !== base);
  const ordered = base === undefined ? others : [base, ...others];
  const steps = meanCurve(ordered.flatMap(curvesOf));
  const means = ordered.map((arm) => new Map(meanCurve(curvesOf(arm)).map((point) => [point.step, point])));
  return {
    title: `Held-out loss, ${set} (nats a token)`,
    table: {
      columns: [
        { title: 'tokens', number: true },
        ...ordered.map(({ name, folders }) => ({
          title: folders.length > 1 ? `${name} (mean ± sd of ${folders.length})` : name,
          number: true,
        })),
      ],
      rows: steps.map(({ step, tokens }) => [
        tokenCount(tokens),
        ...means.map((points) => spreadText(points.get(step)?.loss)),
      ]),
    },
    notes:
      base === undefined
        ? []
        : others.flatMap((arm) => compared(baseline, arm.name, compareArms(curvesOf(base), curvesOf(arm)))),
    plot: {
      title: `Held-out loss, ${set}`,
      x: 'tokens trained on',
      y: 'nats a token',
      series: ordered.flatMap((arm, group) =>
        curvesOf(arm).map((curve, run) => ({
          name: run === 0 ? arm.name : '',
          group,
          points: curve.map(({ tokens, loss }) => [tokens, loss] as const),
        })),
      ),
    },
  };
}

/** What a comparison says, in sentences; when the arm is not ahead, that first. */
function compared(baseline: string, name: string, comparison: Comparison | null): string[] {
  if (comparison === null) {
    return [`${name} and ${baseline} cannot be compared: no step was measured in all their runs.`];
  }
  const { tokens, difference, ahead, reached, tokensToBaseline, ratio } = comparison;
  const runs = difference.count;
  const gap = Math.abs(difference.mean).toFixed(3);
  const over =
    runs > 1
      ? ` (${signed(difference.low)} to ${signed(difference.high)}; ahead in ${ahead} of ${runs} runs)`
      : '';
  const equal =
    difference.mean < 0
      ? `At ${tokenCount(tokens)} tokens ${name} is ahead of ${baseline} by ${gap} nats${over}.`
      : `${name} is NOT ahead of ${baseline}: at ${tokenCount(tokens)} tokens it is ${difference.mean > 0 ? `behind by ${gap} nats` : 'level'}${over}.`;
  const target = `${baseline}'s loss at the end (${comparison.baseline.mean.toFixed(3)})`;
  if (tokensToBaseline === null) return [equal, `${name} does not reach ${target}.`];
  const some = reached < runs ? ` in ${reached} of ${runs} runs, in those` : '';
  if (ratio === null) return [equal, `${name} is at ${target} from the start: there is no ratio.`];
  const range = ratio.count > 1 ? ` (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})` : '';
  return [
    equal,
    `${name} reaches ${target}${some} after ${tokenCount(tokensToBaseline.mean)} tokens: ${baseline} takes ${ratio.mean.toFixed(2)} times as many${range}.`,
  ];
}

const signed = (value: number): string =>
  `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value).toFixed(3)}`;

function spreadText(spread: Spread | undefined): string {
  if (spread === undefined) return '';
  const { mean, deviation } = spread;
  return deviation === null ? mean.toFixed(3) : `${mean.toFixed(3)} ± ${deviation.toFixed(3)}`;
}

const counts = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
/** Tokens with thousands apart. */
export const tokenCount = (tokens: number): string => counts.format(tokens);
