/** JSON-lines shards, plain or compressed: read once, in order, cut into parts on the way. */
import { firstLine } from '../errors.js';
import { isDeeper } from '../json/parse-json.js';
import { endOfValue, exactMembers, parsePythonJson } from '../json/python-json.js';
import type { Storage } from '../storage/storage.js';
import { BrokenStream, breakOf } from './broken-stream.js';
import { decompressed } from './byte-stream.js';
import type { CorpusRow, Quarantined, QuarantineReason } from './document.js';
import { firstRows } from './first-rows.js';
import { type Line, readLines } from './lines.js';
import type { PartReading, ReadOptions, Shard, ShardPlan } from './shard.js';
import { textFromJson } from './text-value.js';

/**
 * Text bytes a byte of the file, for estimates: measured over 40 MB of mathematical web pages and documentation
 * with url, date and metadata columns (between sources: gzip 3.1 to 6.9, zstd -3 3.1 to 8.2).
 */
const TEXT_RATIO = { jsonl: 0.9, 'jsonl.gz': 4.6, 'jsonl.zst': 4.8 } as const;

/**
 * Longest line that is held. Escapes take two bytes for a quote or a newline, and `\uXXXX` at most three for each byte
 * of other scripts, so three times the text fits them; only text that is mostly escaped control characters
 * (six for one) or needlessly escaped ASCII needs more, and is set aside. The other columns get a megabyte.
 * Never over 256 MiB: a line becomes one string, which V8 ends at 512 Mi characters.
 */
const maxLineBytes = (maxTextBytes: number): number => Math.min(3 * maxTextBytes + 2 ** 20, 2 ** 28);

/** A line shorter than this is parsed unseen: what it may become in memory is bounded by it. UTF-16 code units. */
const SHORT_LINE = 1 << 20;
/** Longest first row that is looked into for its names. */
/** Rows of a shard that are looked into for its text. */
const FIRST_ROWS = 1000;
const MAX_FIRST_ROW = 1 << 22;

type JsonLines = keyof typeof TEXT_RATIO;

/** @throws TokensieveError when the file is not there. */
export async function planJsonLines(
  storage: Storage,
  shard: Shard & { readonly format: JsonLines },
): Promise<ShardPlan> {
  const { size, etag, pin } = await storage.stat(shard.path);
  const identity = {
    name: shard.name,
    size,
    ...(etag !== undefined && { etag }),
    ...(pin !== undefined && { pin }),
  };
  return { shard, identity, rows: null, textBytes: Math.round(size * TEXT_RATIO[shard.format]), parts: null };
}

/**
 * Parts as they are cut: one closes when its text bytes reach `partBytes`. Where parts are cut depends on the
 * file and the options alone, so unwanted parts are read and not given out.
 */
export async function* readJsonLines(
  storage: Storage,
  { shard, identity }: ShardPlan,
  options: ReadOptions,
  wanted: (part: number) => boolean,
): AsyncGenerator<PartReading, void, undefined> {
  if (shard.format === 'parquet') throw new Error('not a JSON-lines shard');
  const all = readRows(decompressed(storage, shard.path, identity, shard.format), options);
  // Cut before parts are: rows beyond the limit must not become parts without a document.
  const rows = firstRows(all, options.limit);
  try {
    for (let part = 0, first = await rows.next(); !first.done; part++) {
      const cut: Cut = { next: first, bytes: 0 };
      if (wanted(part)) yield { part, rows: readPart(rows, cut, options.partBytes) };
      // Whatever was left unread belongs to this part all the same.
      for await (const _ of readPart(rows, cut, options.partBytes));
      first = cut.next;
    }
  } finally {
    await rows.return();
  }
}

/** Where the cutting of a part stands: the row to give out next, and the text bytes before it. */
interface Cut {
  next: IteratorResult<CorpusRow, void>;
  bytes: number;
}

/** Rows from `cut.next` on, until the part is full; `cut.next` is then the next part's first. */
async function* readPart(
  rows: AsyncGenerator<CorpusRow, void, undefined>,
  cut: Cut,
  partBytes: number,
): AsyncGenerator<CorpusRow, void, undefined> {
  while (!cut.next.done && cut.bytes < partBytes) {
    const row = cut.next.value;
    if (row.kind === 'document') cut.bytes += row.textBytes;
    cut.next = await rows.next();
    yield row;
  }
}

async function* readRows(
  source: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<CorpusRow, void, undefined> {
  let row = 0;
  try {
    for await (const line of readLines(source, maxLineBytes(options.maxTextBytes))) {
      row = line.number + 1;
      const found = line.number === 0 ? withoutBom(line) : line;
      const result = rowOf(found, options);
      if (result) yield result;
    }
  } catch (error) {
    if (!(error instanceof BrokenStream)) throw error;
    yield {
      kind: 'quarantined',
      row,
      rows: null,
      reason: 'broken-shard',
      detail: breakOf(error),
    };
  }
}

/**
 * Names of the members of a shard's first rows, where none of these has the text: a header, or rows of another kind, may come
 * before those that have.
 * @returns null where one has it, directly or inside of another value, or where they are no objects: rows tell what is wrong with
 *   them
 */
export async function namesWithoutText(
  storage: Storage,
  { shard, identity }: ShardPlan,
  text: string,
): Promise<readonly string[] | null> {
  if (shard.format === 'parquet') throw new Error('not a JSON-lines shard');
  const names = new Set<string>();
  try {
    for await (const line of readLines(
      decompressed(storage, shard.path, identity, shard.format),
      MAX_FIRST_ROW,
    )) {
      const found = line.number === 0 ? withoutBom(line) : line;
      if (found.kind === 'too-long') return null;
      const json = strict.decode(found.bytes);
      if (json.trim() === '') continue;
      const value = parseRow(json);
      if (!isObject(value) || Object.hasOwn(value, text) || outerOf(value, text) !== undefined) return null;
      for (const name of Object.keys(value).slice(0, MOST_NAMED)) names.add(name);
      if (line.number + 1 >= FIRST_ROWS) break;
    }
    return names.size > 0 ? [...names] : null;
  } catch (error) {
    // Broken streams, bytes and JSON are for their reader to tell, who reads all of them.
    if (!(error instanceof BrokenStream || error instanceof SyntaxError || error instanceof TypeError))
      throw error;
    return null;
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A line as a document or a quarantined row; null for a blank one. */
function rowOf(line: Line, { columns, maxTextBytes }: ReadOptions): CorpusRow | null {
  const refuse = (reason: QuarantineReason, detail: string): Quarantined => ({
    kind: 'quarantined',
    row: line.number,
    rows: 1,
    reason,
    detail,
  });
  if (line.kind === 'too-long') {
    return refuse(
      'oversized-text',
      `the line has ${line.bytes} bytes, at most ${maxLineBytes(maxTextBytes)} are taken`,
    );
  }
  let json: string;
  try {
    json = strict.decode(line.bytes);
  } catch {
    return refuse('not-unicode', 'the line is not well-formed UTF-8');
  }
  if (json.trim() === '') return null;
  let value: unknown;
  try {
    value = parseRow(json);
  } catch (error) {
    return refuse('bad-json', firstLine(error) + whyNoRow(json));
  }
  if (!isObject(value)) return refuse('bad-json', `the line is ${kindOf(value)}, expected an object`);
  const text = textFromJson(own(value, columns.text), maxTextBytes);
  if (!text.ok) {
    const outer = Object.hasOwn(value, columns.text) ? undefined : outerOf(value, columns.text);
    if (outer !== undefined) {
      return refuse(
        'nested-text',
        `no column ${columns.text}: ${outer} is ${kindOf(value[outer])}, and text inside of another value is not read; write it as a member of the row itself`,
      );
    }
    return refuse(text.reason, `column ${columns.text}: ${text.detail}${whatThereIs(value, columns.text)}`);
  }
  const document = { kind: 'document', row: line.number, text: text.text, textBytes: text.bytes } as const;
  return { ...document, ...keptColumns(value, json, columns.keep) };
}

/** Short lines are parsed unseen, as nearly all are. */
function parseRow(json: string): unknown {
  if (json.length < SHORT_LINE) {
    try {
      return JSON.parse(json);
    } catch (error) {
      if (!/NaN|Infinity/.test(json)) throw error;
    }
  }
  return parsePythonJson(json);
}

/** Kept values with their numbers as the line spells them; null for what is nested too deep to be stored. */
function keptColumns(
  row: Readonly<Record<string, unknown>>,
  json: string,
  keep: readonly string[],
): { readonly columns: Readonly<Record<string, unknown>>; readonly lost?: readonly string[] } {
  const lost = keep.filter((name) => isDeeper(own(row, name)));
  const numeric = keep.filter((name) => !lost.includes(name) && mayHoldNumbers(own(row, name)));
  const exact = numeric.length === 0 ? null : exactMembers(json, numeric);
  const keptValue = (name: string): unknown =>
    lost.includes(name) ? null : exact?.has(name) ? exact.get(name) : (own(row, name) ?? null);
  const columns = Object.fromEntries(keep.map((name) => [name, keptValue(name)]));
  return { columns, ...(lost.length > 0 && { lost }) };
}

const mayHoldNumbers = (value: unknown): boolean =>
  typeof value === 'number' || (typeof value === 'object' && value !== null);

/** What a line that is no JSON value is rather, where that can be told; begins with a colon. */
function whyNoRow(json: string): string {
  if (/\r\s*[{[]/.test(json)) return ': carriage returns (\\r) alone end its lines, expected \\n';
  if (!/^\s*[{[]/.test(json)) return '';
  const end = endOfValue(json, json.search(/\S/));
  if (/^\s*[{[]/.test(json.slice(end))) {
    return `: another value begins behind character ${end} of the line; write each object on a line of its own`;
  }
  const level = end === json.length && !/[}\]]\s*$/.test(json);
  return level ? ': the line ends within a value; write each object on one line' : '';
}

const MOST_NAMED = 8;

/** The member of a row within which a dotted column would lie. */
const outerOf = (row: Readonly<Record<string, unknown>>, column: string): string | undefined =>
  Object.keys(row).find(
    (name) => column.startsWith(`${name}.`) && typeof row[name] === 'object' && row[name] !== null,
  );

/** What the row has in place of the column, if it has not got it. */
function whatThereIs(row: Readonly<Record<string, unknown>>, column: string): string {
  if (Object.hasOwn(row, column)) return '';
  const names = Object.keys(row).map((name) => name.slice(0, 64));
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  return `; the row has ${names.slice(0, MOST_NAMED).join(', ') || 'no members'}${more}`;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const kindOf = (value: unknown): string =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'an array'
      : typeof value === 'object'
        ? 'an object'
        : `a ${typeof value}`;

const own = (row: Readonly<Record<string, unknown>>, name: string): unknown =>
  Object.hasOwn(row, name) ? row[name] : undefined;

function withoutBom(line: Line): Line {
  if (line.kind !== 'line') return line;
  const [a, b, c] = line.bytes;
  return a === 0xef && b === 0xbb && c === 0xbf ? { ...line, bytes: line.bytes.subarray(3) } : line;
}
