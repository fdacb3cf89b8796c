import { createHash } from 'node:crypto';
import type { CorpusRow, Document, Quarantined } from '../corpus/document.js';
import { storedText } from '../dataset/documents.js';
import type { Manifest } from '../dataset/manifest.js';
import type { Report } from '../parts/report-file.js';

/** Text handed to the tokenizer at a time, in UTF-8 bytes: enough to share a call's cost, small beside a part. */
const GROUP_BYTES = 1 << 18;

export interface TextCounts {
  readonly documents: number;
  readonly textBytes: number;
  readonly quarantinedRows: number;
  readonly quarantined: Readonly<Record<string, number>>;
  /** Rows [rowStart, rowEnd) of the shard were seen. */
  readonly rowStart: number;
  readonly rowEnd: number;
  /** sha256 over (row, byte length, text) of every document. */
  readonly textSha256: string;
  /** sha256 over row and kept values of every document; null where no column is kept. */
  readonly columnsSha256: string | null;
}

/** What a manifest says of the documents that were read. */
export type Digests = Pick<Manifest['input'], 'text_sha256' | 'columns_sha256'>;

/** What is kept of a part's rows as they go by: counts, the digest of the text, the quarantine report. */
export interface TextLedger {
  /** Groups of documents, about 256 KiB of text each, from the part's rows. */
  groups(rows: AsyncIterable<CorpusRow>): AsyncGenerator<readonly Document[]>;
  /**
   * Sets a document aside that came in a group: no tokenizer's piece spells a part of it. Told at once, and reported behind
   * the rows that could not be read, so that the report does not depend on how far reading is ahead.
   */
  setAside(document: Document, detail: string): void;
  /** To be called once all groups are used up and before `counts`. */
  finish(): Promise<void>;
  /** UTF-8 bytes of the documents so far. */
  textBytes(): number;
  /** Once the groups are used up. */
  counts(): TextCounts;
}

/**
 * @param plannedStart first row of the part where a plan tells it; else the first row that comes
 * @param keep columns that are kept
 * @param kind what becomes of a document, for the report
 * @param report quarantine file of the part; one JSON line for each run of rows set aside
 * @param tell called for each run of rows set aside
 */
export function createTextLedger(
  plannedStart: number | null,
  keep: readonly string[],
  kind: 'scored' | 'packed',
  report: Report,
  tell: (quarantined: Quarantined) => void,
): TextLedger {
  const digest = digestsOf(keep);
  const quarantined: Record<string, number> = {};
  let documents = 0;
  let textBytes = 0;
  let quarantinedRows = 0;
  let rowStart = plannedStart;
  let rowEnd = plannedStart ?? 0;

  const unspellable: Quarantined[] = [];

  async function setAside(entry: Quarantined): Promise<void> {
    const rows = entry.rows ?? 0;
    quarantinedRows += rows;
    quarantined[entry.reason] = (quarantined[entry.reason] ?? 0) + Math.max(rows, 1);
    const { kind: _, ...line } = entry;
    await report.write(JSON.stringify(line));
    tell(entry);
  }

  /** A document whose kept columns could not be read is used all the same; the report says what it lacks. */
  async function noteLost(row: number, columns: readonly string[]): Promise<void> {
    quarantined['lost-column'] = (quarantined['lost-column'] ?? 0) + 1;
    const detail = `kept column ${columns.join(', ')} could not be read and is null; the document is ${kind}`;
    await report.write(JSON.stringify({ row, rows: 1, reason: 'lost-column', detail }));
  }

  return {
    async *groups(rows) {
      let group: Document[] = [];
      let groupBytes = 0;
      for await (const row of rows) {
        rowStart ??= row.row;
        if (row.kind === 'quarantined') {
          rowEnd = Math.max(rowEnd, row.row + (row.rows ?? 0));
          await setAside(row);
          continue;
        }
        rowEnd = row.row + 1;
        if (row.lost !== undefined) await noteLost(row.row, row.lost);
        documents++;
        textBytes += row.textBytes;
        digest.add(row);
        group.push(row);
        groupBytes += row.textBytes;
        if (groupBytes >= GROUP_BYTES) {
          yield group;
          group = [];
          groupBytes = 0;
        }
      }
      if (group.length > 0) yield group;
    },
    setAside({ row, textBytes: bytes }, detail) {
      documents--;
      textBytes -= bytes;
      const entry: Quarantined = { kind: 'quarantined', row, rows: 1, reason: 'unspellable', detail };
      quarantinedRows++;
      quarantined[entry.reason] = (quarantined[entry.reason] ?? 0) + 1;
      unspellable.push(entry);
      tell(entry);
    },
    async finish() {
      for (const { kind: _, ...line } of unspellable.splice(0)) await report.write(JSON.stringify(line));
    },
    textBytes: () => textBytes,
    counts: () => ({
      documents,
      textBytes,
      quarantinedRows,
      quarantined,
      rowStart: rowStart ?? 0,
      rowEnd,
      ...digest.end(),
    }),
  };
}

/** What a manifest would say of these rows. */
export async function digestRows(rows: AsyncIterable<CorpusRow>, keep: readonly string[]): Promise<Digests> {
  const digest = digestsOf(keep);
  for await (const row of rows) if (row.kind === 'document') digest.add(row);
  const { textSha256, columnsSha256 } = digest.end();
  return { text_sha256: textSha256, ...(columnsSha256 !== null && { columns_sha256: columnsSha256 }) };
}

/** Whether rows are those of a manifest. Manifests of early versions tell nothing of kept columns. */
export const sameDigests = (manifest: Digests, found: Digests): boolean =>
  manifest.text_sha256 === found.text_sha256 &&
  (manifest.columns_sha256 === undefined || manifest.columns_sha256 === found.columns_sha256);

function digestsOf(keep: readonly string[]): {
  add(document: Document): void;
  end(): Pick<TextCounts, 'textSha256' | 'columnsSha256'>;
} {
  const texts = createHash('sha256');
  const columns = keep.length === 0 ? null : createHash('sha256');
  return {
    add({ row, textBytes, text, columns: values }) {
      texts.update(`${row} ${textBytes}\n`);
      texts.update(text, 'utf8');
      columns?.update(`${JSON.stringify([row, ...keep.map((name) => storedText(values[name]))])}\n`);
    },
    end: () => ({
      textSha256: texts.digest('hex'),
      columnsSha256: columns?.digest('hex') ?? null,
    }),
  };
}
