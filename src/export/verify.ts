import { fileDigest } from '../dataset/file-digest.js';
import { explainDifference } from '../dataset/manifest.js';
import type { Finding, VerifyOptions, VerifyReport } from '../dataset/verify.js';
import { firstLine } from '../errors.js';
import { canonicalJson, type JsonObject } from '../json/canonical-json.js';
import { joinPath, nameOf, normalPath, pathBelow } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import type { ExportCounts } from './format.js';
import {
  EXPORT_INDEX,
  type ExportIndex,
  type ExportManifest,
  isBelow,
  readExportIndex,
  readExportManifest,
  shardFingerprint,
  shardOfManifest,
} from './manifest.js';

/** Whether a folder's files make it an export: its index, or a manifest of an output shard. */
export const isExport = (folder: string, paths: readonly string[]): boolean =>
  paths.some(
    (path) => normalPath(path) === joinPath(folder, EXPORT_INDEX) || shardOfManifest(folder, path) !== null,
  );

/**
 * Checks an export's folder: every shard has its manifest, whose fingerprint is that of its recipe and sources; every
 * file has the bytes and the sha256 that are written down; the index sums up the shards; no other file is there. Reads every byte, keeps
 * 4 MiB. Counts are those of manifests: they were counted as the files were written.
 * @returns `sequences` are rows; `damaged` are manifests of shards to be made again
 */
export async function verifyExport(
  storage: Storage,
  folder: string,
  { onProgress }: VerifyOptions = {},
): Promise<VerifyReport> {
  const paths = (await storage.list(folder)).map(normalPath);
  const findings: Finding[] = [];
  const add = (file: string, reason: string): void => void findings.push({ file, reason });
  const known = new Set<string>();
  const damaged: string[] = [];
  const shards: ExportManifest[] = [];
  const totals = { files: 0, bytes: 0 };
  const check = async (output: ExportManifest['outputs'][number], owner: string): Promise<void> => {
    const path = joinPath(folder, output.name);
    if (!isBelow(output.name)) return add(owner, `names ${output.name}, which is not below ${folder}`);
    if (known.has(path)) return add(path, 'is named twice');
    known.add(path);
    try {
      const { size } = await storage.stat(path);
      if (size !== output.bytes) return add(path, `has ${size} bytes; ${nameOf(owner)} says ${output.bytes}`);
      const sha256 = await fileDigest(storage, path, size);
      if (sha256 !== output.sha256)
        return add(path, `has sha256 ${sha256}; ${nameOf(owner)} says ${output.sha256}`);
      totals.files++;
      totals.bytes += size;
    } catch (error) {
      add(path, withoutPath(firstLine(error), path));
    }
  };

  const manifests = paths.filter((path) => shardOfManifest(folder, path) !== null);
  for (const [done, path] of manifests.entries()) {
    known.add(path);
    const before = findings.length;
    try {
      const manifest = await readExportManifest(storage, path);
      shards.push(manifest);
      if (manifest.shard !== shardOfManifest(folder, path)) add(path, `is of output shard ${manifest.shard}`);
      if (manifest.fingerprint !== shardFingerprint(manifest))
        add(path, 'its fingerprint is not that of its recipe and sources');
      for (const output of manifest.outputs) await check(output, path);
    } catch (error) {
      add(path, withoutPath(firstLine(error), path));
    }
    if (findings.length > before) damaged.push(path);
    onProgress?.({ file: path, done: done + 1, of: manifests.length });
  }

  const indexPath = joinPath(folder, EXPORT_INDEX);
  if (paths.includes(indexPath)) {
    known.add(indexPath);
    try {
      const index = await readExportIndex(storage, indexPath);
      for (const file of index.described) await check(file, indexPath);
      compareIndex(index, shards, (reason) => add(indexPath, reason));
    } catch (error) {
      add(indexPath, withoutPath(firstLine(error), indexPath));
    }
  } else add(indexPath, 'is not there: the export is not finished; run the same command again');
  for (const path of paths) {
    // Processes that write, or wrote, here tell of themselves.
    const isNote = /^\.(writers|workers)\//.test(pathBelow(folder, path) ?? '');
    if (!known.has(path) && !isNote)
      add(path, 'belongs to no shard; an export that was stopped left it: run it again, or remove it');
  }
  const { rows: sequences, tokens } = sumCounts(shards);
  return { manifests: manifests.length, ...totals, sequences, tokens, findings, damaged };
}

/** The index against the shards that were found, as they were found. */
function compareIndex(
  index: ExportIndex,
  shards: readonly ExportManifest[],
  add: (reason: string) => void,
): void {
  if (shards.length !== index.shards) add(`tells of ${index.shards} shards; ${shards.length} are there`);
  const other = shards.find(
    ({ format, recipe, shards: of }) =>
      format !== index.format ||
      of !== index.shards ||
      canonicalJson(recipe as JsonObject) !== canonicalJson(index.recipe as JsonObject),
  );
  if (other !== undefined) add(`output shard ${other.shard} was made with other settings or sources`);
  else if (shards.length === index.shards) {
    for (const line of explainDifference(index.counts, sumCounts(shards)))
      add(`index and shards differ in ${line}`);
  }
}

/** What the shards hold together. */
export function sumCounts(shards: readonly Pick<ExportManifest, 'counts'>[]): ExportCounts {
  const sum = (name: keyof ExportCounts): number => shards.reduce((all, { counts }) => all + counts[name], 0);
  return { rows: sum('rows'), tokens: sum('tokens'), kept: sum('kept'), weight_sum: sum('weight_sum') };
}

const withoutPath = (message: string, path: string): string =>
  message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
