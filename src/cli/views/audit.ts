import type { WrittenAudit } from '../../audit/audit-to.js';
import type { Audit } from '../../audit/report.js';
import { count, duration, percent, printable, significant, table } from '../format.js';

/** The end of an audit in a screen: what share was kept, whether scores tell tokens apart, the extremes, the files. */
export function auditText({ audit, json, page, seconds }: WrittenAudit): string {
  const { totals, calibration, kept_by, tokens, documents, repeated } = audit;
  const lines = [
    `${count(totals.documents)} documents, ${count(totals.tokens)} tokens, ${count(totals.eligible)} eligible${keptText(totals)}; audited in ${duration(seconds)}`,
    calibration.sentence,
    ...findingLines(audit),
    ...columnLines(audit),
  ];
  const classes = kept_by.find(({ by }) => by === 'token_class');
  if (classes !== undefined && totals.kept !== null) {
    const shares = classes.groups.map(
      ({ name, kept, eligible }) => `${name} ${percent((kept ?? 0) / Math.max(1, eligible))}`,
    );
    lines.push(`kept by token class: ${shares.join(', ')}`);
  }
  const name = ({ text, id }: Audit['tokens']['most_kept'][number]): string =>
    text === null ? String(id) : JSON.stringify(text);
  const list = (what: string, rows: Audit['tokens']['most_kept']): void => {
    if (rows.length > 0) lines.push(`${what}: ${rows.slice(0, 12).map(name).join(' ')}`);
  };
  const [first, last] =
    totals.kept === null ? ['highest excess', 'lowest excess'] : ['most kept', 'most dropped'];
  list(first, tokens.most_kept);
  list(last, tokens.most_dropped);
  const passage = repeated.passages[0];
  if (passage !== undefined) {
    const share = passage.kept_share === null ? '' : `, ${percent(passage.kept_share)} kept`;
    const text = passage.text?.trim().slice(0, 60) ?? `${passage.ids.length} ids`;
    lines.push(`most repeated: ${JSON.stringify(text)}, ${count(passage.occurrences)} times${share}`);
  }
  const extreme = [documents.highest[0], documents.lowest[0]].flatMap((one) => one ?? []);
  if (extreme.length === 2) {
    const shown = extreme.map(
      ({ shard, row, excess }) => `${shard} row ${row} (${significant(excess)} nats a token)`,
    );
    lines.push(`documents of highest and lowest mean excess: ${shown.join(', ')}`);
  }
  lines.push(...comparisonLines(audit), `report:  ${page}`, `numbers: ${json}`);
  return lines.map(printable).join('\n');
}

/** `, kept 60.0%`, or nothing where there are no weights. */
export const keptText = ({ kept, eligible }: Audit['totals']): string =>
  kept === null ? ', no selection' : `, kept ${percent(kept / Math.max(1, eligible))}`;

/** In full they are warnings of the log, and on the page. */
const findingLines = ({ findings }: Audit): string[] =>
  findings.length === 0 ? [] : [`take care: ${findings.map(({ message }) => message).join('; ')}`];

function columnLines({ columns }: Audit): string[] {
  if (columns.length === 0) return [];
  const rows = columns.map(({ name, mean, quantiles }) => {
    const at = (q: number): string => significant(quantiles.find((one) => one.q === q)?.value ?? Number.NaN);
    return [name, significant(mean), at(0.05), at(0.5), at(0.95)];
  });
  return table([['nats', 'mean', '5%', 'median', '95%'], ...rows]).split('\n');
}

function comparisonLines({ dynamics, overlap, comparison }: Audit): string[] {
  const lines: string[] = [];
  if (dynamics !== null) {
    const shares = dynamics.classes.map((one) => `${one.class} ${percent(one.share)}`);
    lines.push(`token dynamics over ${dynamics.checkpoints.length} checkpoints: ${shares.join(', ')}`);
  }
  for (const { name, share, documents, documents_over_half } of overlap?.evaluation ?? []) {
    lines.push(
      `overlap of ${name} with the reference data: ${share === null ? 'no' : percent(share)} of its ${overlap?.n}-grams; more than half of them in ${count(documents_over_half)} of ${count(documents)} documents`,
    );
  }
  if (comparison?.selection != null) {
    const { flip_rate, agreement } = comparison.selection;
    lines.push(
      `against ${comparison.names[1]}: ${percent(flip_rate)} of the eligible tokens flip, agreement ${percent(agreement)}`,
    );
  }
  return lines;
}
