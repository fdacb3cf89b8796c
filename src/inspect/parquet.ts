import { planParquet } from '../corpus/parquet.js';
import { type ParquetFooter, readFooter } from '../corpus/parquet-footer.js';
import { type Field, typeName } from '../corpus/parquet-schema.js';
import type { Storage } from '../storage/storage.js';
import { pipelineDefaults } from './defaults.js';

export interface ParquetColumn {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  /** Compression codecs of its chunks, each once. */
  readonly codecs: readonly string[];
  /** Bytes of its pages in the file, and uncompressed, by the footer. */
  readonly storedBytes: number;
  readonly bytes: number;
  /** Why some chunks cannot be read, each reason once. */
  readonly problems: readonly string[];
}

export interface ParquetInspection {
  readonly kind: 'parquet';
  readonly path: string;
  readonly bytes: number;
  /** As the footer names it; empty where it does not. */
  readonly writer: string;
  readonly version: number;
  readonly rows: number;
  readonly rowGroups: number;
  /** Rows of the largest group. */
  readonly largestGroup: number;
  readonly footerSha256: string;
  readonly columns: readonly ParquetColumn[];
  /** The column that looks like documents' text; null when none holds strings. */
  readonly textColumn: string | null;
  /** Parts that a run would cut by that column, at the default part size. */
  readonly parts: { readonly count: number; readonly partBytes: number; readonly textBytes: number } | null;
}

/** Names under which published corpora keep their text, best first. */
const TEXT_NAMES = ['text', 'content', 'raw_content', 'document', 'body'];

/** @throws TokensieveError (input) when the footer cannot be read */
export async function inspectParquet(storage: Storage, path: string): Promise<ParquetInspection> {
  const footer = await readFooter(storage, path);
  const columns = footer.fields.map((field) => columnOf(footer, field));
  const textColumn = guessTextColumn(columns);
  return {
    kind: 'parquet',
    path,
    bytes: footer.size,
    writer: footer.createdBy,
    version: footer.version,
    rows: footer.rows,
    rowGroups: footer.rowGroups.length,
    largestGroup: footer.rowGroups.reduce((most, { rows }) => Math.max(most, rows), 0),
    footerSha256: footer.sha256,
    columns,
    textColumn,
    parts: textColumn === null ? null : await partsBy(storage, path, textColumn),
  };
}

function columnOf(footer: ParquetFooter, field: Field): ParquetColumn {
  const codecs = new Set<string>();
  const problems = new Set<string>();
  let storedBytes = 0;
  let bytes = 0;
  for (const { chunks } of footer.rowGroups) {
    for (const chunk of chunks.slice(...field.leaves)) {
      if (typeof chunk === 'string') problems.add(chunk);
      else {
        codecs.add(chunk.codec.toLowerCase());
        storedBytes += chunk.end - chunk.start;
        bytes += chunk.uncompressedBytes;
      }
    }
  }
  return {
    name: field.name,
    type: typeName(field),
    nullable: field.optional,
    codecs: [...codecs],
    storedBytes,
    bytes,
    problems: [...problems],
  };
}

/** By name among the string columns, else the one with the most bytes. */
export function guessTextColumn(
  columns: readonly Pick<ParquetColumn, 'name' | 'type' | 'bytes'>[],
): string | null {
  const strings = columns.filter(({ type }) => type === 'string' || type === 'byte_array');
  const known = TEXT_NAMES.find((name) => strings.some((column) => column.name === name));
  if (known !== undefined) return known;
  const [largest] = [...strings].sort((a, b) => b.bytes - a.bytes);
  return largest?.name ?? null;
}

async function partsBy(storage: Storage, path: string, text: string): Promise<ParquetInspection['parts']> {
  const { partBytes, maxTextBytes } = pipelineDefaults();
  const plan = await planParquet(
    storage,
    { path, name: path, format: 'parquet' },
    { columns: { text, keep: [] }, partBytes, maxTextBytes },
  );
  return { count: plan.parts?.length ?? 0, partBytes, textBytes: plan.textBytes };
}
