import { BrokenStream, breakOf } from '../corpus/broken-stream.js';
import { decompressed } from '../corpus/byte-stream.js';
import { readLines } from '../corpus/lines.js';
import type { ShardFormat } from '../corpus/shard.js';
import { inputError } from '../errors.js';
import { parsePythonJson } from '../json/python-json.js';
import type { Storage } from '../storage/storage.js';
import { guessTextColumn } from './parquet.js';

export interface JsonLinesColumn {
  readonly name: string;
  /** JSON types of its values in the sample, each once. */
  readonly types: readonly string[];
  /** Characters of its strings in the sample. */
  readonly characters: number;
}

export interface JsonLinesInspection {
  readonly kind: 'jsonl';
  readonly path: string;
  readonly bytes: number;
  readonly format: Exclude<ShardFormat, 'parquet'>;
  /** Lines from the beginning that were looked at, and how many of them are no JSON object. */
  readonly sampledLines: number;
  readonly badLines: number;
  /** Whether the sample is the whole file. */
  readonly whole: boolean;
  readonly columns: readonly JsonLinesColumn[];
  readonly textColumn: string | null;
}

/** The beginning of the file that is looked at: this many lines, or this many bytes of text. */
const SAMPLE_LINES = 1000;
const SAMPLE_BYTES = 8 << 20;
/** A longer line is no sample of anything. */
const MAX_LINE_BYTES = 1 << 26;
/** Columns that are told apart; a file with more has data for keys. */
const MAX_COLUMNS = 256;

/**
 * Looks at the first lines of a JSON-lines file.
 * @throws TokensieveError (input) `broken-shard` when nothing can be decompressed
 */
export async function inspectJsonLines(
  storage: Storage,
  path: string,
  format: Exclude<ShardFormat, 'parquet'>,
): Promise<JsonLinesInspection> {
  const version = await storage.stat(path);
  const { size } = version;
  const columns = new Map<string, { types: Set<string>; characters: number }>();
  let sampledLines = 0;
  let badLines = 0;
  let sampledBytes = 0;
  let whole = true;
  try {
    for await (const line of readLines(decompressed(storage, path, version, format), MAX_LINE_BYTES)) {
      if (sampledLines >= SAMPLE_LINES || sampledBytes >= SAMPLE_BYTES) {
        whole = false;
        break;
      }
      if (line.kind === 'line' && line.bytes.length === 0) continue;
      sampledLines++;
      sampledBytes += line.kind === 'line' ? line.bytes.length : line.bytes;
      const row = line.kind === 'line' ? parseRow(line.bytes) : null;
      if (row === null) badLines++;
      else for (const [name, value] of Object.entries(row)) note(columns, name, value);
    }
  } catch (error) {
    if (!(error instanceof BrokenStream)) throw error;
    if (sampledLines === 0) {
      throw inputError('broken-shard', `${path}: ${breakOf(error)}`, { cause: error });
    }
    whole = false;
  }
  const found = [...columns].map(([name, { types, characters }]) => ({
    name,
    types: [...types],
    characters,
  }));
  const strings = found.map(({ name, types, characters }) => ({
    name,
    type: types.includes('string') ? 'string' : 'other',
    bytes: characters,
  }));
  return {
    kind: 'jsonl',
    path,
    bytes: size,
    format,
    sampledLines,
    badLines,
    whole,
    columns: found,
    textColumn: guessTextColumn(strings),
  };
}

function parseRow(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const row: unknown = parsePythonJson(new TextDecoder().decode(bytes));
    return typeof row === 'object' && row !== null && !Array.isArray(row) ? { ...row } : null;
  } catch {
    return null;
  }
}

function note(
  columns: Map<string, { types: Set<string>; characters: number }>,
  name: string,
  value: unknown,
): void {
  let column = columns.get(name);
  if (column === undefined) {
    if (columns.size >= MAX_COLUMNS) return;
    column = { types: new Set(), characters: 0 };
    columns.set(name, column);
  }
  column.types.add(value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);
  if (typeof value === 'string') column.characters += value.length;
}
