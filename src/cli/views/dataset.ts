import type { DocumentsInspection, SequencesInspection } from '../../inspect/arrow.js';
import type { ManifestInspection } from '../../inspect/manifest.js';
import type { PartGroup, RunInspection } from '../../inspect/run-folder.js';
import type { ColumnSummary } from '../../inspect/summary.js';
import { bytes, count, percent, significant, table } from '../format.js';
import { cell, facts, firstRows, pathCell, screen } from './screen.js';

export function sequencesText(found: SequencesInspection): string {
  const names = Object.keys(found.first[0]?.values ?? {});
  const tokens = found.first.map(({ position, id, values }) => [
    String(position),
    String(id),
    ...names.map((name) => number(values[name] ?? null)),
  ]);
  return screen([
    `${found.kind} Arrow file ${pathCell(found.path)}`,
    facts([
      ['size', bytes(found.bytes)],
      ['rows', `${count(found.rows)} sequences in ${found.batches} record batches`],
      ['tokens', tokenCounts(found.tokens, found.eligible, found.kind === 'packed' ? null : found.kept)],
      ['losses', found.lossPrecision ?? 'none'],
      ['fingerprint', found.fingerprint === null ? 'none' : `${cell(found.fingerprint, 13)}`],
      ['conventions', keyValues(found.conventions)],
    ]),
    table(
      firstRows(
        found.fields.map(({ name, type }) => [cell(name), cell(type, 110)]),
        12,
      ),
    ),
    columnTable(found.columns),
    tokens.length === 0 ? '' : table([['first row', 'id', ...names], ...tokens]),
  ]);
}

export function documentsText(found: DocumentsInspection): string {
  const rows = found.first.map(({ row, textBytes, tokens, columns }) => [
    String(row),
    bytes(textBytes),
    count(tokens),
    ...found.keptColumns.map((name) => cell(String(columns[name] ?? 'null'), 48)),
  ]);
  return screen([
    `documents Arrow file ${pathCell(found.path)}`,
    facts([
      ['size', bytes(found.bytes)],
      ['documents', `${count(found.rows)} in ${found.batches} record batches`],
      ['text', bytes(found.textBytes)],
      ['tokens', count(found.tokens)],
      [
        'kept columns',
        found.keptColumns.length === 0 ? 'none' : found.keptColumns.map((name) => cell(name)).join(', '),
      ],
      ['fingerprint', found.fingerprint === null ? 'none' : `${cell(found.fingerprint, 13)}`],
    ]),
    rows.length === 0
      ? ''
      : table([['row', 'text', 'tokens', ...found.keptColumns.map((name) => cell(name, 48))], ...rows]),
  ]);
}

export function manifestText(found: ManifestInspection): string {
  const { counts, input } = found;
  return screen([
    `manifest of a ${found.of} part ${pathCell(found.path)}`,
    facts([
      ['shard', `${cell(found.shard)}, part ${found.part}, rows ${input.row_start} to ${input.row_end}`],
      ['input', `${bytes(input.size)}, text sha256 ${input.text_sha256.slice(0, 12)}…`],
      ['documents', `${count(counts.documents)}, ${bytes(counts.text_bytes)} of text`],
      [
        'quarantined',
        quarantineText({ quarantinedRows: counts.quarantined_rows, quarantined: counts.quarantined }),
      ],
      [
        'tokens',
        tokenCounts(
          counts.tokens,
          counts.eligible ?? null,
          found.of === 'packed' ? null : (counts.kept ?? null),
        ),
      ],
      ['sequences', count(counts.sequences)],
      ['fingerprint', `${found.fingerprint.slice(0, 12)}…`],
    ]),
    recipeText(found.recipe),
    columnTable(found.columns),
    table(
      found.outputs.map(({ kind, name, bytes: size, rows, sha256 }) => [
        kind,
        cell(name),
        bytes(size),
        `${count(rows)} rows`,
        `${sha256.slice(0, 12)}…`,
      ]),
    ),
  ]);
}

export function runText({ path, groups }: RunInspection): string {
  const mixed = new Set(groups.map(({ of }) => of)).size < groups.length;
  return screen([
    `run ${pathCell(path)}${mixed ? ': PARTS OF SEVERAL RECIPES' : ''}`,
    ...groups
      .slice(0, 3)
      .map((group) => screen([groupFacts(group), recipeText(group.recipe), columnTable(group.columns)])),
    groups.length > 3 ? `… and parts of ${groups.length - 3} more recipes` : '',
  ]);
}

function groupFacts(group: PartGroup): string {
  return facts([
    [
      group.of,
      `${group.parts} parts of ${group.shards} shards, ${bytes(group.bytes)}, recipe ${group.recipeHash}…`,
    ],
    ['documents', `${count(group.documents)}, ${bytes(group.textBytes)} of text`],
    ['quarantined', quarantineText(group)],
    ['tokens', tokenCounts(group.tokens, group.eligible, group.of === 'weighted' ? group.kept : null)],
  ]);
}

function quarantineText({
  quarantinedRows,
  quarantined,
}: {
  readonly quarantinedRows: number;
  readonly quarantined: Readonly<Record<string, number>>;
}): string {
  const reasons = Object.entries(quarantined).map(([reason, rows]) => `${cell(reason)} ${rows}`);
  return reasons.length === 0 ? 'none' : `${count(quarantinedRows)} rows: ${reasons.slice(0, 8).join(', ')}`;
}

function tokenCounts(tokens: number, eligible: number | null, kept: number | null): string {
  const shares = [
    ...(eligible === null ? [] : [`${count(eligible)} eligible`]),
    ...(kept === null ? [] : [`${count(kept)} kept (${percent(kept / Math.max(eligible ?? tokens, 1))})`]),
  ];
  return [count(tokens), ...shares].join(', ');
}

/** The recipe's settings on a few lines, hashes cut; a weighted part's repeats the scored one's, left out here. */
function recipeText(recipe: Readonly<Record<string, unknown>>): string {
  const rows = Object.entries(recipe)
    .filter(([name, value]) => name !== 'scored' && value !== null)
    .map(([name, value]) => [cell(name), keyValues(value)]);
  return rows.length === 0 ? '' : `recipe\n${table(firstRows(rows, 10).map((row) => ['', ...row]))}`;
}

function keyValues(value: unknown): string {
  if (typeof value !== 'object' || value === null) return cell(short(value), 110);
  return cell(
    Object.entries(value)
      .map(([key, inner]) => `${key} ${short(inner)}`)
      .join(', '),
    110,
  );
}

function short(value: unknown): string {
  if (typeof value === 'string') return /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : value;
  return JSON.stringify(value);
}

const number = (value: number | null): string => (value === null ? '-' : significant(value));

function columnTable(columns: readonly ColumnSummary[]): string {
  if (columns.length === 0) return '';
  return table([
    ['nats', 'tokens', 'mean', 'least', 'most'],
    ...firstRows(
      columns.map(({ name, count: values, mean, min, max }) => [
        cell(name, 40),
        count(values),
        number(mean),
        number(min),
        number(max),
      ]),
      8,
    ),
  ]);
}
