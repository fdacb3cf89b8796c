/**
 * Tables whose files are told by a log: Delta, Iceberg, Hudi. Files that were replaced stay in the folder until they are cleaned up, and reading them
 * all would count rows twice, or rows that were deleted. No table is read by its log here: what the log contradicts is refused by name.
 * Sources: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, https://iceberg.apache.org/spec/, https://hudi.apache.org/tech-specs/
 */

import { usageError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../json/canonical-json.js';
import { parseJson } from '../json/parse-json.js';
import type { Storage } from '../storage/storage.js';
import { deltaState } from './delta-log.js';

const MOST_NAMED = 3;

/** A listing of a folder, and what of it would be read as shards. */
export interface Listing {
  readonly listed: readonly string[];
  readonly shards: readonly string[];
}

/**
 * Holds the shards against every table's log in the listing.
 * @returns what could not be told, a line each
 * @throws TokensieveError (usage) `table-log` where the shards are not the rows of the table
 */
export async function checkTables(storage: Storage, { listed, shards }: Listing): Promise<string[]> {
  const notes: string[] = [];
  const roots = (marker: RegExp): string[] => [
    ...new Set(listed.flatMap((path) => marker.exec(path)?.slice(1, 2) ?? [])),
  ];
  for (const root of roots(/^(.*?)\/_delta_log\/\d{20}\./)) {
    notes.push(...(await checkDelta(storage, root, listed, within(root, shards))));
  }
  for (const root of roots(/^(.*?)\/metadata\/[^/]+\.metadata\.json$/)) {
    notes.push(...(await checkIceberg(storage, root, listed, within(root, shards))));
  }
  for (const root of roots(/^(.*?)\/\.hoodie\//)) checkHudi(root, within(root, listed));
  return notes;
}

/** Paths below a folder, relative to it. */
const within = (root: string, paths: readonly string[]): string[] =>
  paths.filter((path) => path.startsWith(`${root}/`)).map((path) => path.slice(root.length + 1));

const refuse = (root: string, what: string): never => {
  throw usageError('table-log', `${root}: ${what}`);
};

const some = (files: readonly string[]): string =>
  files.slice(0, MOST_NAMED).join(', ') + (files.length > MOST_NAMED ? ', …' : '');

async function checkDelta(
  storage: Storage,
  root: string,
  listed: readonly string[],
  shards: readonly string[],
): Promise<string[]> {
  if (shards.length === 0) return [];
  const log = within(`${root}/_delta_log`, listed);
  const { live, removed, withDeletions, trouble } = await deltaState(storage, `${root}/_delta_log`, log);
  const remedy =
    "Delete them (VACUUM), or name the table's own files, as deltalake's DeltaTable(…).file_uris() lists them.";
  const isOfLog = live !== null && shards.some((shard) => live.has(shard));
  const stale = shards.filter((shard) => (isOfLog ? !live.has(shard) : removed.has(shard)));
  if (stale.length > 0) {
    refuse(
      root,
      `a Delta table of whose ${shards.length} files the log does not name ${stale.length} (${some(stale)}): they were removed from the table or never committed, and their rows would be read beside those of the table. ${remedy}`,
    );
  }
  const partly = shards.filter((shard) => withDeletions.has(shard));
  if (partly.length > 0) {
    refuse(
      root,
      `a Delta table whose log deletes rows within ${partly.length} of its files (${some(partly)}) by deletion vectors, which are not read. Rewrite them (REORG TABLE … APPLY (PURGE)), or write the table's rows as parquet.`,
    );
  }
  if (trouble !== null)
    return [`${root}: a Delta table whose log cannot be read whole (${trouble}); all its files are read`];
  return isOfLog ? [] : [`${root}: a Delta log that names none of the files here; all of them are read`];
}

async function checkIceberg(
  storage: Storage,
  root: string,
  listed: readonly string[],
  shards: readonly string[],
): Promise<string[]> {
  const versions = within(`${root}/metadata`, listed)
    .map((file) => ({ file, version: Number(/^v?(\d+)[.-]/.exec(file)?.[1] ?? -1) }))
    .filter(({ file, version }) => version >= 0 && file.endsWith('.metadata.json'))
    .sort((a, b) => a.version - b.version);
  const last = versions.at(-1)?.file;
  if (last === undefined || shards.length === 0) return [];
  const table = await jsonAt(storage, `${root}/metadata/${last}`);
  if (table === null || !('format-version' in table)) {
    return [`${root}: an Iceberg table whose metadata (${last}) cannot be read; all its files are read`];
  }
  const snapshots = Array.isArray(table['snapshots']) ? table['snapshots'].filter(isJsonObject) : [];
  const current = snapshots.find((snapshot) => snapshot['snapshot-id'] === table['current-snapshot-id']);
  const summary = isJsonObject(current?.['summary']) ? current['summary'] : {};
  const deletes = Number(summary['total-delete-files'] ?? 0);
  const files = current === undefined ? 0 : Number(summary['total-data-files'] ?? Number.NaN);
  const remedy =
    "Name the table's own files, as pyiceberg's table.inspect.files() lists them, or write its rows as parquet.";
  if (deletes > 0)
    refuse(root, `an Iceberg table with ${deletes} files of deleted rows, which are not read. ${remedy}`);
  if (shards.length > files) {
    refuse(
      root,
      `an Iceberg table whose current snapshot has ${files} data files, and ${shards.length} are here: the others were replaced, and their rows would be read beside those of the table. ${remedy}`,
    );
  }
  if (Number.isNaN(files))
    return [`${root}: an Iceberg table that does not tell its number of files; all of them are read`];
  return shards.length < files
    ? [`${root}: an Iceberg table of ${files} data files, of which ${shards.length} are here`]
    : [];
}

/** Hudi keeps versions of a file side by side: FILE-ID_TOKEN_INSTANT.parquet, and changes in .FILE-ID_INSTANT.log.N_TOKEN. */
function checkHudi(root: string, files: readonly string[]): void {
  const remedy = "Write the table's rows as parquet, or name the newest file of each group.";
  const logs = files.filter((file) => /(^|\/)\.[^/]+\.log\.\d+_/.test(file) && !file.startsWith('.hoodie/'));
  if (logs.length > 0) {
    refuse(
      root,
      `a Hudi table with ${logs.length} files of changed rows (${some(logs)}), which are not read. ${remedy}`,
    );
  }
  const groups = new Map<string, number>();
  for (const file of files) {
    const group = /^(.*\/)?([^/_.][^/_]*)_[^/_]+_\d+\.parquet$/.exec(file);
    if (group)
      groups.set(`${group[1] ?? ''}${group[2]}`, (groups.get(`${group[1] ?? ''}${group[2]}`) ?? 0) + 1);
  }
  const twice = [...groups].filter(([, versions]) => versions > 1).map(([group]) => group);
  if (twice.length > 0) {
    refuse(
      root,
      `a Hudi table with several versions of ${twice.length} of its files (${some(twice)}), whose rows would count twice. ${remedy}`,
    );
  }
}

const MOST_BYTES = 1 << 26;

async function jsonAt(storage: Storage, path: string): Promise<JsonObject | null> {
  const version = await storage.stat(path);
  if (version.size > MOST_BYTES) return null;
  try {
    const bytes = await storage.readRange(path, 0, version.size, version);
    const value = parseJson(Buffer.from(bytes).toString('utf8'));
    return isJsonObject(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
