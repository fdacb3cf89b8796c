/** Parquet shards: parts planned from the footer alone, documents read by row group, column and page. */
import { fatalError, inputError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import type { CorpusRow } from './document.js';
import { firstRows } from './first-rows.js';
import { joinedReads } from './joined-reads.js';
import { codecsReady, pageLimit } from './parquet-codec.js';
import { type ColumnSlice, openColumn } from './parquet-column.js';
import { ENCRYPTED, type ParquetFooter, type RowGroup, readFooter } from './parquet-footer.js';
import { readLeaf } from './parquet-leaf.js';
import { type Field, type LeafType, typeName } from './parquet-schema.js';
import type { PartPlan, PartReading, ReadOptions, Shard, ShardPlan } from './shard.js';
import { NULL_TEXT, type TextValue, textFromBytes } from './text-value.js';

/** Rows whose kept columns are read ahead of their documents. */
const SLICE_ROWS = 256;

/**
 * Parts of whole row groups. A part closes when the next group would bring its text column past `partBytes`
 * uncompressed bytes; it has at least one group.
 * @throws TokensieveError (input) when the shard as a whole cannot be read: no parquet file, encrypted, broken
 *   footer, no such text column, or a text column that holds no text.
 */
export async function planParquet(storage: Storage, shard: Shard, options: ReadOptions): Promise<ShardPlan> {
  const footer = await readFooter(storage, shard.path);
  const [leaf] = textField(footer, options.columns.text).leaves;
  if (footer.rowGroups.some((group) => group.chunks[leaf] === ENCRYPTED)) {
    throw inputError(
      'encrypted',
      `${shard.path}: the text column is encrypted. Decrypt the file first; keys are not supported.`,
    );
  }
  const parts: PartPlan[] = [];
  let open: PartPlan | null = null;
  footer.rowGroups.forEach((group, index) => {
    const chunk = group.chunks[leaf];
    const bytes = typeof chunk === 'object' ? chunk.uncompressedBytes : 0;
    if (open && open.textBytes + bytes <= options.partBytes) {
      open = {
        ...open,
        rowEnd: open.rowEnd + group.rows,
        rowGroups: [open.rowGroups[0], index + 1],
        textBytes: open.textBytes + bytes,
      };
    } else {
      const rowStart: number = open?.rowEnd ?? 0;
      if (open) parts.push(open);
      open = {
        part: parts.length,
        rowStart,
        rowEnd: rowStart + group.rows,
        rowGroups: [index, index + 1],
        textBytes: bytes,
      };
    }
  });
  if (open) parts.push(open);
  const textBytes = parts.reduce((sum, part) => sum + part.textBytes, 0);
  const { size, etag, pin, sha256 } = footer;
  const identity = {
    name: shard.name,
    size,
    ...(etag !== undefined && { etag }),
    ...(pin !== undefined && { pin }),
    footerSha256: sha256,
  };
  return { shard, identity, rows: footer.rows, textBytes, parts };
}

/** The wanted parts, in order. @throws TokensieveError (fatal) when the shard is no longer the one that was planned. */
export async function* readParquet(
  storage: Storage,
  plan: ShardPlan,
  options: ReadOptions,
  wanted: (part: number) => boolean,
): AsyncGenerator<PartReading, void, undefined> {
  const parts = (plan.parts ?? []).filter(({ part }) => wanted(part));
  if (parts.length === 0) return;
  await codecsReady();
  const footer = await footerOf(storage, plan);
  const { size, etag, footerSha256 } = plan.identity;
  if (footer.sha256 !== footerSha256 || footer.size !== size || footer.etag !== etag) {
    const what = footer.sha256 !== footerSha256 ? 'footer' : footer.size !== size ? 'size' : 'entity tag';
    throw fatalError(
      'shard-changed',
      `${plan.shard.path}: the file is not the one that was planned, its ${what} differs. Run the command again.`,
    );
  }
  const text = textField(footer, options.columns.text);
  for (const { part, rowStart, rowGroups } of parts) {
    const rows = readGroups({ storage, footer, text, options }, rowGroups, rowStart);
    yield { part, rows: firstRows(rows, options.limit) };
  }
}

/** Footers of the shards read last, by storage: each part of a shard is read by itself. */
const footers = new WeakMap<Storage, Map<string, ParquetFooter>>();
const FOOTERS_HELD = 4;

/** The shard's footer. Where an entity tag pins the shard, it is read once for several parts. */
async function footerOf(storage: Storage, { shard, identity }: ShardPlan): Promise<ParquetFooter> {
  if (identity.etag === undefined) return readFooter(storage, shard.path);
  const held = footers.get(storage) ?? new Map<string, ParquetFooter>();
  footers.set(storage, held);
  const known = held.get(shard.path);
  if (known?.etag === identity.etag && known.sha256 === identity.footerSha256) return known;
  const footer = await readFooter(storage, shard.path);
  held.set(shard.path, footer);
  for (const path of [...held.keys()].slice(0, -FOOTERS_HELD)) held.delete(path);
  return footer;
}

/** A shard that is read: its footer, its text column, and what is asked of it. */
interface OpenShard {
  readonly storage: Storage;
  readonly footer: ParquetFooter;
  readonly text: Field;
  readonly options: ReadOptions;
}

async function* readGroups(
  shard: OpenShard,
  [from, to]: readonly [number, number],
  rowStart: number,
): AsyncGenerator<CorpusRow, void, undefined> {
  let row = rowStart;
  for (const group of shard.footer.rowGroups.slice(from, to)) {
    yield* readGroup(shard, group, row);
    row += group.rows;
  }
}

async function* readGroup(
  { storage, footer, text, options }: OpenShard,
  group: RowGroup,
  rowStart: number,
): AsyncGenerator<CorpusRow, void, undefined> {
  const { columns, maxTextBytes, maxPageBytes: setting } = options;
  const { leaf: type, definition, repetition } = text;
  if (!type) throw new Error('not a leaf');
  const maxPageBytes = pageLimit(footer.size, setting);
  const fields = columns.keep.map((name) => footer.fields.find((field) => field.name === name));
  const chunks = [text, ...fields]
    .flatMap((field) => group.chunks.slice(...(field?.leaves ?? [0, 0])))
    .filter((chunk) => typeof chunk === 'object');
  const joined = joinedReads(storage, chunks);
  const kept = fields.map((field) => (field ? openColumn(joined, footer, group, field, maxPageBytes) : null));
  const convert = (value: unknown): TextValue =>
    value instanceof Uint8Array ? textFromBytes(value, maxTextBytes) : NULL_TEXT;
  const runs = readLeaf({
    storage: joined,
    footer,
    group,
    leaf: text.leaves[0],
    column: { type, definition, repetition, maxPageBytes },
    convert,
  });
  let row = rowStart;
  for await (const run of runs) {
    if (run.kind === 'broken') {
      yield {
        kind: 'quarantined',
        row,
        rows: run.entries,
        reason: run.reason,
        detail: `column ${columns.text}: ${run.detail}`,
      };
      // The kept columns move on past the same rows, unless nothing follows.
      for (let left = run.last ? 0 : run.entries; left > 0; left -= SLICE_ROWS) {
        await Promise.all(kept.map((column) => column?.next(Math.min(left, SLICE_ROWS))));
      }
      row += run.entries;
      continue;
    }
    const { definitions, value } = run.page;
    let valueIndex = 0;
    for (let from = 0; from < run.entries; from += SLICE_ROWS) {
      const rows = Math.min(SLICE_ROWS, run.entries - from);
      const slices = await Promise.all(kept.map((column) => column?.next(rows)));
      for (let i = 0; i < rows; i++, row++) {
        const present = definitions === null || definitions[from + i] === definition;
        const found = (present ? value(valueIndex++) : undefined) ?? NULL_TEXT;
        yield found.ok
          ? {
              kind: 'document',
              row,
              text: found.text,
              textBytes: found.bytes,
              ...keptValues(columns.keep, slices, i),
            }
          : {
              kind: 'quarantined',
              row,
              rows: 1,
              reason: found.reason,
              detail: `column ${columns.text}: ${found.detail}`,
            };
      }
    }
    run.page.release();
  }
}

function keptValues(names: readonly string[], slices: readonly (ColumnSlice | undefined)[], i: number) {
  const columns = Object.fromEntries(names.map((name, k) => [name, slices[k]?.values[i] ?? null]));
  const lost = names.filter((_, k) => slices[k]?.lost?.[i]);
  return lost.length === 0 ? { columns } : { columns, lost };
}

/** Byte arrays that are text, or that old writers left unannotated and may be. */
const isTextual = ({ physical, meaning }: LeafType): boolean =>
  physical === 'BYTE_ARRAY' && ['plain', 'string', 'enum', 'json'].includes(meaning.kind);

/** The column that holds the text. @throws TokensieveError (input) naming what there is instead. */
function textField({ path, fields }: ParquetFooter, name: string): Field {
  const field = fields.find((candidate) => candidate.name === name);
  const there = `The columns are ${describe(fields)}. Name the one that holds the text.`;
  if (!field)
    throw inputError('missing-column', `${path}: no column ${JSON.stringify(name)} for the text. ${there}`);
  if (!field.leaf || field.repeated) {
    throw inputError(
      'nested-text',
      `${path}: the text column ${JSON.stringify(name)} is a ${typeName(field)}, expected a flat string column. ${there}`,
    );
  }
  if (!isTextual(field.leaf)) {
    throw inputError(
      'text-type',
      `${path}: the text column ${JSON.stringify(name)} has type ${typeName(field)}, expected string. ${there}`,
    );
  }
  return field;
}

const MAX_NAMED = 30;

function describe(fields: readonly Field[]): string {
  const named = fields.slice(0, MAX_NAMED).map((field) => `${field.name} (${typeName(field)})`);
  return named.join(', ') + (fields.length > MAX_NAMED ? ` and ${fields.length - MAX_NAMED} more` : '');
}
