import type { ExportInspection, ExportManifestInspection } from '../../inspect/export.js';
import { bytes, count, percent, table } from '../format.js';
import { cell, facts, firstRows, pathCell, screen } from './screen.js';

export function exportText(found: ExportInspection): string {
  const { path, format, done, shards, finished, files } = found;
  const state = finished ? '' : `: UNFINISHED, ${done} of ${shards} shards; the same command goes on`;
  return screen([
    `export to ${format} ${pathCell(path)}${state}`,
    facts([
      ['size', `${bytes(found.bytes)} in ${files.length} files, ${shards} shards`],
      ...originFacts(found),
      ['parts', `${found.sourceParts} of the run`],
    ]),
    fileTable(files),
  ]);
}

export function exportManifestText(found: ExportManifestInspection): string {
  return screen([
    `manifest of an export to ${found.format} ${pathCell(found.path)}`,
    facts([
      ['shard', `${found.shard} of ${found.shards}`],
      ...originFacts(found),
      ['fingerprint', `${found.fingerprint.slice(0, 12)}…`],
    ]),
    table(
      firstRows(
        found.sources.map(({ shard, part, row_start, row_end, sha256 }) => [
          cell(shard),
          `part ${part}`,
          `rows ${row_start} to ${row_end}`,
          `${sha256.slice(0, 12)}…`,
        ]),
        8,
      ),
    ),
    fileTable(found.outputs),
  ]);
}

function originFacts({
  counts: { rows, tokens, kept, weight_sum },
  settings,
  source,
  method,
  tokenizer,
  models,
}: ExportInspection | ExportManifestInspection): readonly (readonly [string, string])[] {
  const hash = (value: unknown): string => cell(`${String(value).slice(0, 12)}…`, 16);
  const chosen = Object.entries(settings).filter(([, value]) => value !== null);
  const known = Object.entries(models).filter(([, value]) => typeof value === 'string');
  return [
    ['rows', count(rows)],
    [
      'tokens',
      `${count(tokens)}, ${count(kept)} of weight above 0 (${percent(kept / Math.max(tokens, 1))}), weights sum to ${count(weight_sum)}`,
    ],
    ['settings', cell(chosen.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(', '), 110)],
    ['source', cell(`${source ?? 'unknown'} files${method === null ? '' : `, weights by ${method}`}`, 80)],
    ['tokenizer', tokenizer === null ? 'unknown' : hash(tokenizer)],
    ...known.slice(0, 3).map(([role, value]) => [`${cell(role, 20)} model`, hash(value)] as const),
  ];
}

const fileTable = (files: ExportInspection['files']): string =>
  table(
    firstRows(
      files.map(({ name, bytes: size, sha256 }) => [cell(name), bytes(size), `${sha256.slice(0, 12)}…`]),
      10,
    ),
  );
