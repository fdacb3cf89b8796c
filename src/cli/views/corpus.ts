import { stringify } from 'yaml';
import type { CorpusInspection } from '../../inspect/corpus-folder.js';
import type { JsonLinesInspection } from '../../inspect/json-lines.js';
import type { ParquetInspection } from '../../inspect/parquet.js';
import type { PipelineInspection } from '../../inspect/pipeline-file.js';
import { bytes, count, table } from '../format.js';
import { cell, facts, firstRows, pathCell, screen } from './screen.js';

const MAX_COLUMNS = 24;

export function parquetText(found: ParquetInspection): string {
  const { parts } = found;
  const columns = found.columns.map(
    ({ name, type, nullable, codecs, storedBytes, bytes: plain, problems }) => [
      cell(name, 40),
      `${cell(type, 32)}${nullable ? '?' : ''}`,
      codecs.join(', '),
      bytes(storedBytes),
      bytes(plain),
      problems.length === 0 ? '' : `unreadable: ${cell(problems[0] ?? '')}`,
    ],
  );
  return screen([
    `parquet shard ${pathCell(found.path)}`,
    facts([
      ['size', bytes(found.bytes)],
      ['written by', found.writer === '' ? 'unknown' : cell(found.writer)],
      ['version', String(found.version)],
      [
        'rows',
        `${count(found.rows)} in ${found.rowGroups} row groups, the largest of ${count(found.largestGroup)}`,
      ],
      ['text column', found.textColumn === null ? 'none: no column of strings' : cell(found.textColumn)],
      [
        'parts',
        parts &&
          `${parts.count} of up to ${bytes(parts.partBytes)}, ${bytes(parts.textBytes)} of text by the footer`,
      ],
      ['footer', `sha256 ${found.footerSha256.slice(0, 12)}…`],
    ]),
    table([['column', 'type', 'codec', 'stored', 'plain', ''], ...firstRows(columns, MAX_COLUMNS)]),
  ]);
}

export function jsonLinesText(found: JsonLinesInspection): string {
  const sampled = found.whole
    ? `${found.sampledLines}, all of them`
    : `the first ${found.sampledLines} looked at`;
  const columns = found.columns.map(({ name, types, characters }) => [
    cell(name, 40),
    types.join(', '),
    characters === 0 ? '' : `${count(characters)} characters`,
  ]);
  return screen([
    `${found.format} shard ${pathCell(found.path)}`,
    facts([
      ['size', bytes(found.bytes)],
      ['lines', found.badLines === 0 ? sampled : `${sampled}, ${found.badLines} of them no JSON object`],
      ['text column', found.textColumn === null ? 'none: no strings' : cell(found.textColumn)],
    ]),
    columns.length === 0
      ? ''
      : table([['column', 'types', 'in the sample'], ...firstRows(columns, MAX_COLUMNS)]),
  ]);
}

export function corpusText(found: CorpusInspection): string {
  const rows = found.first.map((shard) => [pathCell(shard.path), bytes(shard.bytes)]);
  const more = found.shards - found.first.length;
  return screen([
    `folder of shards ${pathCell(found.path)}`,
    facts([
      ['shards', String(found.shards)],
      ['size', bytes(found.bytes)],
      ...found.formats.map((sum): [string, string] => [
        sum.format,
        `${sum.shards} shards, ${bytes(sum.bytes)}`,
      ]),
    ]),
    table(more > 0 ? [...rows, [`… and ${more} more`]] : rows),
  ]);
}

/** The settings as a pipeline file would have them, each list or stage on one line. */
export function pipelineText(found: PipelineInspection): string {
  const entries: readonly (readonly [string, unknown])[] =
    'stages' in found
      ? found.stages.map(({ name, kind, settings }) => [pathCell(name), { [kind]: settings }])
      : Object.entries(found.pipeline);
  const settings = entries.map(([name, value]) => [
    name,
    cell(stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim(), 480),
  ]);
  return screen([`pipeline ${pathCell(found.path)}, defaults filled in`, table(settings)]);
}
