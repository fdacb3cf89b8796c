import { type EvaluationReport, type Figure, heldOutKey, type LossRecord } from '../../evaluate/report.js';
import { count, table } from '../format.js';
import { cell, firstRows, screen } from './screen.js';

/** Domains shown of each set; the report has them all. */
const DOMAINS_SHOWN = 20;

/** An evaluation on a screen: held-out sets with their domains, then tasks. */
export function evaluationText(report: EvaluationReport): string {
  return screen([
    ...Object.entries(report.held_out).map(([name, set]) => {
      const domains = Object.entries(set.domains).map(([domain, record]) => [
        `  ${cell(domain, 48)}`,
        ...lossCells(record),
      ]);
      return table([
        ['held out', 'documents', 'targets', 'loss (nats)', '±', 'perplexity', '±', 'bits/byte', '±'],
        [name, ...lossCells(set)],
        ...firstRows(domains, DOMAINS_SHOWN),
      ]);
    }),
    tasksText(report),
    quarantinedText(report),
  ]);
}

const lossCells = (record: LossRecord): string[] => [
  count(record.documents),
  count(record.targets),
  figure(record.loss),
  figure(record.loss_stderr),
  figure(record.perplexity),
  figure(record.perplexity_stderr),
  figure(record.bits_per_byte),
  figure(record.bits_per_byte_stderr),
];

function tasksText(report: EvaluationReport): string {
  const sets = new Set(Object.keys(report.held_out).map(heldOutKey));
  const rows = Object.entries(report.results)
    .filter(([name]) => !sets.has(name))
    .flatMap(([name, row]) =>
      Object.keys(row)
        .filter((key) => key.endsWith(',none') && !key.endsWith('_stderr,none'))
        .map((key, index) => {
          const metric = key.slice(0, -',none'.length);
          const first = index === 0;
          return [
            first ? name : '',
            first ? String(report['n-shot'][name] ?? '') : '',
            first ? String(report['n-samples'][name]?.effective ?? '') : '',
            metric,
            figure(row[key]),
            figure(row[`${metric}_stderr,none`]),
          ];
        }),
    );
  return rows.length === 0 ? '' : table([['task', 'shots', 'items', 'metric', 'value', '±'], ...rows]);
}

function quarantinedText({ quarantined }: EvaluationReport): string {
  return Object.entries(quarantined)
    .map(([name, reasons]) => {
      const told = Object.entries(reasons).map(([reason, rows]) => `${reason} ${rows}`);
      return `quarantined in ${name}: ${told.join(', ')}`;
    })
    .join('\n');
}

/** Four decimals: standard errors are read beside their figures, digit by digit. */
const figure = (value: Figure | string | undefined): string =>
  typeof value === 'number' ? value.toFixed(4) : String(value ?? '');
