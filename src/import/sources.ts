/** The files that losses are imported from: found, told apart by form, hashed, and read as one list of records. */

import { expandFiles } from '../corpus/expand.js';
import { fileDigest } from '../dataset/file-digest.js';
import { fatalError, TokensieveError, usageError } from '../errors.js';
import { nameOf, withoutQuery } from '../storage/path.js';
import type { ObjectStat, Storage } from '../storage/storage.js';
import { isUnchanged } from '../storage/unchanged.js';
import { arrowRecords } from './arrow.js';
import { jsonRecords } from './json.js';
import { parquetRecords } from './parquet.js';
import type { LossRecord } from './record.js';
import type { ImportFormat, ImportSettings } from './settings.js';
import { torchRecords } from './torch.js';

const FORMATS: readonly (readonly [RegExp, ImportFormat])[] = [
  [/\.parquet$/i, 'parquet'],
  [/\.(arrow|feather|ipc|arrows)$/i, 'arrow'],
  [/\.(json|jsonl|ndjson)(\.gz|\.zst)?$/i, 'json'],
  [/\.(pt|pth)$/i, 'torch'],
];
const KNOWN = '.parquet, .arrow, .feather, .ipc, .json, .jsonl, .ndjson (these three also .gz and .zst), .pt';

const formatOf = (path: string): ImportFormat | null =>
  FORMATS.find(([extension]) => extension.test(withoutQuery(path)))?.[1] ?? null;

/** A file of losses. Its name and hash go into the manifests. */
export interface ImportSource {
  readonly path: string;
  readonly format: ImportFormat;
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly version: ObjectStat;
}

/**
 * Finds the files and hashes them: what was imported is told by its bytes.
 * @throws TokensieveError (usage) `no-shards`, `unknown-format`, `source-twice`
 */
export async function openSources(
  storage: Storage,
  { losses, format }: Pick<ImportSettings, 'losses' | 'format'>,
  signal: AbortSignal,
): Promise<readonly ImportSource[]> {
  const sources: ImportSource[] = [];
  for (const path of await expandFiles(storage, losses, (file) => formatOf(file) !== null)) {
    if (sources.some((source) => source.path === path)) {
      throw usageError('source-twice', `${path}: named twice; its records would be counted twice`);
    }
    const form = format === 'auto' ? formatOf(path) : format;
    if (form === null) {
      throw usageError(
        'unknown-format',
        `${path}: unknown extension, expected one of ${KNOWN}; say which it is with --format`,
      );
    }
    signal.throwIfAborted();
    const version = await storage.stat(path);
    const sha256 = await fileDigest(storage, path, version.size);
    sources.push({ path, format: form, name: nameOf(path), bytes: version.size, sha256, version });
  }
  return sources;
}

/** Records one after another, with a look at the next. */
export interface RecordReader {
  /** The next record that has a token, or null at the end of the last source. */
  next(): Promise<LossRecord | null>;
  /** Refuses a source that is no longer the one that was hashed: before anything made of its records is committed. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The records of all sources in order; those without a token are passed over.
 * @throws TokensieveError (fatal) what is wrong with a source, `source-changed`
 */
export function readSources(
  storage: Storage,
  sources: readonly ImportSource[],
  settings: ImportSettings,
): RecordReader {
  let open: ImportSource | null = null;
  /** Of sources whose pin moved and whose bytes did not. */
  const seen = new Map<string, ObjectStat>();
  const check = async (): Promise<void> => {
    if (open === null) return;
    const { path, sha256 } = open;
    const version = seen.get(path) ?? open.version;
    if (await isUnchanged(storage, path, version)) return;
    const now = await storage.stat(path).catch(() => null);
    // Written to, if with the bytes that it had: they may have been others for a moment. Rights and links alone: the bytes tell.
    const isWritten = now?.modified !== version.modified || now?.etag !== version.etag;
    if (
      now !== null &&
      !isWritten &&
      (await fileDigest(storage, path, now.size).catch(() => null)) === sha256
    ) {
      seen.set(path, now);
      return;
    }
    throw fatalError(
      'source-changed',
      `${path}: changed while it was imported; run the command again, with --replace where parts were made of it before`,
    );
  };
  async function* all(): AsyncGenerator<LossRecord> {
    for (const source of sources) {
      open = source;
      yield* recordsOf(storage, source, settings);
      // Records that are handed on by now may stand in a part that is committed when another source is open.
      await check();
    }
  }
  const records = all();
  return {
    async next() {
      try {
        for (let next = await records.next(); !next.done; next = await records.next()) {
          const { losses } = next.value;
          if (typeof losses === 'number' || losses.length > 0) return next.value;
        }
        return null;
      } catch (error) {
        // A record that cannot be read moves all after it: there is nothing to go on with.
        if (!(error instanceof TokensieveError) || error.reach !== 'input') throw error;
        throw fatalError(error.code, error.message, { cause: error });
      }
    },
    check,
    close: async () => {
      await records.return(undefined);
    },
  };
}

function recordsOf(
  storage: Storage,
  { path, format }: ImportSource,
  settings: ImportSettings,
): AsyncGenerator<LossRecord> {
  switch (format) {
    case 'parquet':
      return parquetRecords(storage, path, settings);
    case 'arrow':
      return arrowRecords(storage, path, settings);
    case 'json':
      return jsonRecords(storage, path, settings);
    case 'torch':
      return torchRecords(storage, path, settings);
  }
}
