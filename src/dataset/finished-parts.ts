import { fatalError, usageError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import { normalPath } from '../storage/path.js';
import type { Storage } from '../storage/storage.js';
import { type DocumentFile, readDocuments } from './documents.js';
import { explainDifference, type Manifest, type ManifestOutput, readManifest } from './manifest.js';
import { partFiles } from './part-files.js';
import { readSequences, type SequenceFile } from './reader.js';
import { vouchedFile } from './vouched.js';

/** Manifests read at once: a folder of many parts is bound by the store's latency. */
const MANIFESTS_AHEAD = 8;

/** A finished part of a scored, weighted or packed folder. */
export interface FinishedPart {
  readonly manifest: Manifest;
  readonly folder: string;
}

/**
 * The parts that these manifests tell of, in global order: by shard name (code units), then by part.
 * @param folder data set that the manifests lie in · @param paths of the manifests
 * @throws TokensieveError (usage) `mixed-recipes`: one data set never mixes two recipes; `mixed-inputs`: nor two
 *   versions of a shard; `misplaced-part`: a manifest says where its files lie, and may not point elsewhere;
 *   (input) `bad-manifest`
 */
export async function readParts(
  storage: Storage,
  folder: string,
  paths: readonly string[],
): Promise<readonly FinishedPart[]> {
  const parts: FinishedPart[] = [];
  const read = async (path: string) => ({ path, manifest: await readManifest(storage, path) });
  for await (const { path, manifest } of mapAhead(paths, MANIFESTS_AHEAD, read)) {
    checkPlace(manifest, folder, path);
    parts.push({ manifest, folder });
  }
  parts.sort((a, b) => comparePart(a.manifest, b.manifest));
  checkOneRecipe(parts);
  checkOneInput(parts);
  return parts;
}

export function comparePart(
  a: Pick<Manifest, 'shard' | 'part'>,
  b: Pick<Manifest, 'shard' | 'part'>,
): number {
  if (a.shard !== b.shard) return a.shard < b.shard ? -1 : 1;
  return a.part - b.part;
}

/** The part of a manifest's input that is known before the part is read. */
export type PartInput = Omit<Manifest['input'], 'row_start' | 'row_end' | 'text_sha256' | 'columns_sha256'>;

export function knownInput({ input }: Manifest): PartInput {
  const { row_start: _, row_end: __, text_sha256: ___, columns_sha256: ____, ...known } = input;
  return known;
}

function checkPlace({ shard, part }: Manifest, folder: string, path: string): void {
  const expected = partFiles(folder, shard, part).manifest;
  if (expected === normalPath(path)) return;
  throw usageError(
    'misplaced-part',
    `${path}: says that it is part ${part} of ${shard}, whose place is ${expected}; name a folder that tokensieve wrote, as it wrote it`,
  );
}

function checkOneRecipe(parts: readonly FinishedPart[]): void {
  const [first] = parts;
  for (const { manifest } of parts) {
    const difference = first && explainDifference(first.manifest.recipe, manifest.recipe);
    if (!difference || difference.length === 0) continue;
    throw usageError(
      'mixed-recipes',
      `${first.manifest.shard} part ${first.manifest.part} and ${manifest.shard} part ${manifest.part} were made differently (${difference.slice(0, 3).join('; ')}); finish the run that writes here with --replace, or remove one of them`,
    );
  }
}

/** A shard that shrank leaves its last parts behind when it is scored again: their text may be counted twice. */
function checkOneInput(parts: readonly FinishedPart[]): void {
  const firsts = new Map<string, Manifest>();
  for (const { manifest, folder } of parts) {
    const first = firsts.get(manifest.shard) ?? manifest;
    firsts.set(manifest.shard, first);
    const difference = explainDifference(knownInput(first), knownInput(manifest));
    if (difference.length === 0) continue;
    const path = partFiles(folder, manifest.shard, manifest.part).manifest;
    throw usageError(
      'mixed-inputs',
      `${path}: part ${manifest.part} is of another version of the shard than part ${first.part} (${difference.join('; ')}); finish the run that writes here, then remove the parts of the version that is gone`,
    );
  }
}

/**
 * The part's sequence file. Whatever is read of its rows is checked against the digest of its manifest: `batches` on the way,
 * `readBatch` before the first one is given.
 * @throws TokensieveError fatal `part-changed` when its manifest is of another: a run may be writing here; when rows are read,
 *   (input) `part-damaged`
 */
export async function openSequences(
  storage: Storage,
  { manifest, folder }: FinishedPart,
): Promise<SequenceFile> {
  const path = partFiles(folder, manifest.shard, manifest.part).sequences;
  const file = await readSequences(storage, path);
  const found = file.metadata['fingerprint'];
  if (found === manifest.fingerprint) {
    const vouched = vouchedFile(storage, path, manifest, 'sequences');
    return {
      ...file,
      async readBatch(index) {
        await vouched.check();
        return file.readBatch(index);
      },
      batches: (sha256 = vouched.sha256) => vouched.through(file.batches(sha256)),
    };
  }
  throw fatalError(
    'part-changed',
    `${path}: is of fingerprint ${String(found).slice(0, 12)}…, its manifest of ${manifest.fingerprint.slice(0, 12)}…; wait for the run that writes here, then run the command again`,
  );
}

/** @throws TokensieveError (input) `part-damaged` where a file of the part is not the one that its manifest tells of */
export const checkPartFile = (
  storage: Storage,
  { manifest, folder }: FinishedPart,
  kind: ManifestOutput['kind'],
): Promise<void> =>
  vouchedFile(storage, partFiles(folder, manifest.shard, manifest.part)[kind], manifest, kind).check();

/**
 * The part's documents file, checked as it is read.
 * @throws TokensieveError as `readDocuments` throws; when documents are read, (input) `part-damaged`
 */
export async function openDocuments(
  storage: Storage,
  { manifest, folder }: FinishedPart,
): Promise<DocumentFile> {
  const path = partFiles(folder, manifest.shard, manifest.part).documents;
  const file = await readDocuments(storage, path);
  const vouched = vouchedFile(storage, path, manifest, 'documents');
  return { ...file, batches: (sha256 = vouched.sha256) => vouched.through(file.batches(sha256)) };
}
