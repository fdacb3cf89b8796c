/** What a run's parts say of the rows that were read and set aside. */
import { readDocuments } from '../dataset/documents.js';
import { checkPartFile, type FinishedPart } from '../dataset/finished-parts.js';
import { partFiles } from '../dataset/part-files.js';
import { parseJson } from '../json/parse-json.js';
import type { Storage } from '../storage/storage.js';
import type { ReadingFacts, SetAside } from './facts.js';
import { isObject } from './read-json.js';

/** Reasons under which rows were set aside that a change of rules reads. */
const REASONS = ['bad-json', 'broken-shard', 'broken-page', 'broken-row-group'];
/** Bytes of a part's report that are looked at: a report of millions of rows says the same thing millions of times. */
const REPORT_BYTES = 1 << 20;
/** Documents of a part that are looked at for whole numbers. */
const DOCUMENTS = 20_000;
const JSON_LINES = /\.(?:jsonl|ndjson|json)(?:\.(?:gz|zst))?$/i;

/**
 * Manifests say what was put around documents since the rules of 2026-11-30: a part that does is by these or later ones,
 * whatever its report says. A line can hold NaN and be no JSON under any rules.
 */
export const isMarked = (manifest: object): boolean => 'marks' in manifest && manifest.marks !== undefined;
/** What parts with marks are made by at least. */
export const MARKED_SINCE = '2026-11-30';

/** @param parts of a scored or packed folder */
export async function readReadingFacts(
  storage: Storage,
  parts: readonly FinishedPart[],
  { keep, patterns }: { readonly keep: readonly string[]; readonly patterns: readonly string[] | null },
): Promise<ReadingFacts> {
  const setAside: SetAside[] = [];
  const columns = new Map<string, Column>();
  for (const part of parts.filter(({ manifest }) => !isMarked(manifest))) {
    setAside.push(...(await rowsSetAside(storage, part)));
    if (keep.length > 0 && JSON_LINES.test(part.manifest.shard)) await lookAtColumns(storage, part, columns);
  }
  return {
    shards: [...new Set(parts.map(({ manifest }) => manifest.shard))],
    patterns,
    setAside,
    roundedColumns: keep.filter((name) => {
      const column = columns.get(name);
      return column !== undefined && column.rounded > 0 && column.exact === 0;
    }),
  };
}

/** What the part's report says of rows of the reasons that a change concerns. */
export async function rowsSetAside(
  storage: Storage,
  { manifest, folder }: FinishedPart,
): Promise<readonly SetAside[]> {
  const { shard, part, counts, outputs } = manifest;
  if (isMarked(manifest) || !REASONS.some((reason) => (counts.quarantined[reason] ?? 0) > 0)) return [];
  const bytes = outputs.find(({ kind }) => kind === 'quarantine')?.bytes ?? 0;
  const path = partFiles(folder, shard, part).quarantine;
  try {
    await checkPartFile(storage, { manifest, folder }, 'quarantine');
    const text = Buffer.from(await storage.readRange(path, 0, Math.min(bytes, REPORT_BYTES))).toString(
      'utf8',
    );
    return text.split('\n').flatMap((line) => entryOf(line, shard));
  } catch {
    // What is wrong with the file is for `verify` to say.
    return [];
  }
}

function entryOf(line: string, shard: string): SetAside[] {
  try {
    const entry = parseJson(line);
    if (!isObject(entry)) return [];
    const { reason, detail } = entry;
    const told = typeof reason === 'string' && REASONS.includes(reason) && typeof detail === 'string';
    return told ? [{ shard, reason, detail }] : [];
  } catch {
    return [];
  }
}

interface Column {
  /** Whole numbers beyond 2^53 that a double writes in these very digits, and others, which no double can have been. */
  rounded: number;
  exact: number;
}

async function lookAtColumns(
  storage: Storage,
  { manifest, folder }: FinishedPart,
  columns: Map<string, Column>,
): Promise<void> {
  try {
    await checkPartFile(storage, { manifest, folder }, 'documents');
    const file = await readDocuments(storage, partFiles(folder, manifest.shard, manifest.part).documents);
    let seen = 0;
    for await (const batch of file.batches()) {
      for (const { columns: values } of batch) {
        for (const [name, value] of Object.entries(values)) {
          if (typeof value !== 'string' || !/^-?\d{16,22}$/.test(value)) continue;
          const column = columns.get(name) ?? { rounded: 0, exact: 0 };
          if (Math.abs(Number(value)) > Number.MAX_SAFE_INTEGER) {
            if (String(Number(value)) === value) column.rounded++;
            else column.exact++;
          }
          columns.set(name, column);
        }
      }
      seen += batch.length;
      if (seen >= DOCUMENTS) break;
    }
  } catch {
    // As above.
  }
}
