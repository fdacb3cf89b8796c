import { openArrowFile } from '../dataset/arrow-reader.js';
import { readDocuments } from '../dataset/documents.js';
import { MANIFEST_SUFFIX, type Manifest, readManifest } from '../dataset/manifest.js';
import { readSequences } from '../dataset/reader.js';
import type { LossPrecision } from '../dataset/schema.js';
import type { SequenceBatch, TokenColumn } from '../dataset/sequence-batch.js';
import { createStatistics } from '../dataset/statistics.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { nameOf } from '../storage/path.js';
import { sizeOf } from '../storage/sizes.js';
import type { Storage } from '../storage/storage.js';
import { type ColumnSummary, summaries } from './summary.js';

export interface ArrowField {
  readonly name: string;
  readonly type: string;
}

interface ArrowInspection {
  readonly path: string;
  readonly bytes: number;
  readonly fields: readonly ArrowField[];
  readonly rows: number;
  readonly batches: number;
  /** sha256 over recipe and input, as the schema metadata has it; null where it has none. */
  readonly fingerprint: string | null;
  readonly conventions: JsonObject;
}

/** One token of a file's first row, as a person wants to see it. */
export interface TokenView {
  readonly position: number;
  readonly id: number;
  /** By column; null where the token has no value. */
  readonly values: Readonly<Record<string, number | null>>;
}

export interface SequencesInspection extends ArrowInspection {
  readonly kind: Manifest['kind'];
  /** Null where the file has no losses. */
  readonly lossPrecision: LossPrecision | null;
  readonly tokens: number;
  /** Targets; tokens of weight above 0, where there are weights. */
  readonly eligible: number | null;
  readonly kept: number | null;
  readonly columns: readonly ColumnSummary[];
  /** The first tokens of the first row. */
  readonly first: readonly TokenView[];
}

export interface DocumentsInspection extends ArrowInspection {
  readonly kind: 'documents';
  readonly keptColumns: readonly string[];
  readonly textBytes: number;
  readonly tokens: number;
  /** The first documents. */
  readonly first: readonly {
    readonly row: number;
    readonly textBytes: number;
    readonly tokens: number;
    readonly columns: JsonObject;
  }[];
}

/** Values shown of a file's beginning. */
const FIRST_TOKENS = 8;
const FIRST_DOCUMENTS = 5;

/**
 * A scored, weighted, packed or documents file: all of it is read, one record batch in memory.
 * @throws TokensieveError (input) `arrow-corrupt`, `not-a-dataset`; `part-damaged` where a manifest beside it tells of other bytes
 */
export async function inspectArrow(
  storage: Storage,
  path: string,
): Promise<SequencesInspection | DocumentsInspection> {
  const { schema, metadata, bytes, batchCount } = await openArrowFile(storage, path);
  const fields = schema.fields.map(({ name, type }) => ({ name, type: String(type) }));
  const common = { path, bytes, fields, batches: batchCount, ...describeMetadata(metadata) };
  return fields.some(({ name }) => name === 'text_digest')
    ? inspectDocuments(storage, path, common)
    : inspectSequences(storage, path, common);
}

/** The digest that the manifest of a part's file says of it; undefined of a file that lies by itself. */
async function digestBeside(storage: Storage, path: string): Promise<string | undefined> {
  const manifest = path.replace(/(\.documents)?\.arrow$/, MANIFEST_SUFFIX);
  if (manifest === path || (await sizeOf(storage, manifest)) === null) return undefined;
  const { outputs } = await readManifest(storage, manifest);
  return outputs.find(({ name }) => name === nameOf(path))?.sha256;
}

type Common = Omit<ArrowInspection, 'rows'>;

function describeMetadata({
  fingerprint,
  conventions,
}: JsonObject): Pick<ArrowInspection, 'fingerprint' | 'conventions'> {
  return {
    fingerprint: typeof fingerprint === 'string' ? fingerprint : null,
    conventions: isJsonObject(conventions) ? conventions : {},
  };
}

async function inspectSequences(
  storage: Storage,
  path: string,
  common: Common,
): Promise<SequencesInspection> {
  const file = await readSequences(storage, path);
  const statistics = createStatistics(file.columns);
  let first: readonly TokenView[] = [];
  for await (const batch of file.batches(await digestBeside(storage, path))) {
    if (first.length === 0) first = firstTokens(batch);
    statistics.add(batch);
  }
  const { sequences, tokens, eligible, kept, histograms } = statistics.result();
  return {
    kind: kindOf(file.columns),
    ...common,
    rows: sequences,
    lossPrecision: file.columns.every((name) => name === 'weight') ? null : file.lossPrecision,
    tokens,
    eligible: eligible ?? null,
    kept: kept ?? null,
    columns: summaries(histograms),
    first,
  };
}

/** Weights beside losses were selected by; weights alone mark targets. */
function kindOf(columns: readonly TokenColumn[]): SequencesInspection['kind'] {
  if (!columns.includes('weight')) return 'scored';
  return columns.length > 1 ? 'weighted' : 'packed';
}

function firstTokens({ offsets, inputIds, columns }: SequenceBatch): TokenView[] {
  const end = Math.min(offsets[1] ?? 0, FIRST_TOKENS);
  return Array.from(inputIds.subarray(0, end), (id, position) => ({
    position,
    id,
    values: Object.fromEntries(
      Object.entries(columns).map(([name, values]) => {
        const value = values[position] ?? Number.NaN;
        return [name, Number.isNaN(value) ? null : value];
      }),
    ),
  }));
}

async function inspectDocuments(
  storage: Storage,
  path: string,
  common: Common,
): Promise<DocumentsInspection> {
  const file = await readDocuments(storage, path);
  const first: DocumentsInspection['first'][number][] = [];
  let rows = 0;
  let textBytes = 0;
  let tokens = 0;
  for await (const batch of file.batches(await digestBeside(storage, path))) {
    for (const document of batch) {
      rows++;
      textBytes += document.textBytes;
      tokens += document.tokens;
      if (first.length < FIRST_DOCUMENTS) {
        const { row, columns } = document;
        first.push({ row, textBytes: document.textBytes, tokens: document.tokens, columns });
      }
    }
  }
  return { kind: 'documents', ...common, rows, keptColumns: file.keep, textBytes, tokens, first };
}
