import type { StagedPlan } from '../../plan/stage-facts.js';
import { rulesText } from '../../rules/run-rules.js';
import { count, duration, printable, table } from '../format.js';

/** A plan of stages: a line each with tokens, operations and time, and what the figures rest on. */
export function stagedPlanText({ stages, assumed, rate, rules }: StagedPlan): string {
  const sum = (value: (stage: StagedPlan['stages'][number]) => number | null): number | null =>
    stages.reduce<number | null>((total, stage) => {
      const one = value(stage);
      return total === null || one === null ? null : total + one;
    }, 0);
  const rows = stages.map(({ name, kind, tokens, flops, seconds }) => [
    printable(name),
    kind,
    tokens === null ? (kind === 'report' || kind === 'eval' || kind === 'audit' ? '' : '?') : count(tokens),
    flopsText(flops),
    timeText(seconds),
  ]);
  const unknown = [...new Set(stages.flatMap((stage) => stage.unknown))];
  return [
    table([
      ['stage', 'kind', 'tokens', 'FLOP', 'time'],
      ...rows,
      ['all', '', '', flopsText(sum(({ flops }) => flops)), timeText(sum(({ seconds }) => seconds))],
    ]),
    `time: at ${rate}; training takes 6 operations a parameter and token, scoring 2; held-out losses are not in it`,
    ...assumed.map((path) => `assumed by the pipeline, not there yet: ${printable(path)}`),
    ...rules.flatMap(({ stage, report }) =>
      rulesText(report).map((line) => `in the output folder of ${printable(stage)}: ${printable(line)}`),
    ),
    ...unknown.map((what) => `not known: ${printable(what)}; name it under assume`),
  ].join('\n');
}

const flopsText = (flops: number | null): string =>
  flops === null ? '?' : flops === 0 ? '' : flops.toExponential(2);
const timeText = (seconds: number | null): string =>
  seconds === null ? '?' : seconds === 0 ? '' : duration(seconds);
