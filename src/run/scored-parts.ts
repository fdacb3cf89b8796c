import { join } from 'node:path';
import { readDocuments } from '../dataset/documents.js';
import { explainDifference, MANIFEST_SUFFIX, type Manifest, readManifest } from '../dataset/manifest.js';
import { readSequences, type SequenceFile } from '../dataset/reader.js';
import type { SequenceBatch } from '../dataset/sequence-batch.js';
import { fatalError, usageError } from '../errors.js';
import type { PartSource } from '../select/part-source.js';
import type { Storage } from '../storage/storage.js';
import { knownInput } from './done-parts.js';
import { partFiles, scoredFolder } from './part-files.js';

/** A finished part of a scored (or weighted) folder. */
export interface FinishedPart {
  readonly manifest: Manifest;
  readonly folder: string;
}

/**
 * The finished parts of a run, in global order: by shard name (code units), then by part. `run` is a run's
 * output folder or the scored folder itself.
 * @throws TokensieveError (usage) `nothing-scored`; `mixed-recipes`: one run never mixes two recipes;
 *   `mixed-inputs`: nor two versions of a shard; `misplaced-part`: a manifest says where its files lie, and may not point elsewhere
 */
export async function finishedParts(storage: Storage, run: string): Promise<readonly FinishedPart[]> {
  for (const folder of [scoredFolder(run), run]) {
    const paths = (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX));
    if (paths.length === 0) continue;
    const parts: FinishedPart[] = [];
    for (const path of paths) {
      const manifest = await readManifest(storage, path);
      checkPlace(manifest, folder, path);
      parts.push({ manifest, folder });
    }
    parts.sort((a, b) => comparePart(a.manifest, b.manifest));
    checkOneRecipe(parts);
    checkOneInput(parts);
    return parts;
  }
  throw usageError(
    'nothing-scored',
    `${run}: no finished parts (*${MANIFEST_SUFFIX}) here or in scored/; name the --out folder of tokensieve score`,
  );
}

export function comparePart(
  a: Pick<Manifest, 'shard' | 'part'>,
  b: Pick<Manifest, 'shard' | 'part'>,
): number {
  if (a.shard !== b.shard) return a.shard < b.shard ? -1 : 1;
  return a.part - b.part;
}

function checkPlace({ shard, part }: Manifest, folder: string, path: string): void {
  const expected = partFiles(folder, shard, part).manifest;
  if (expected === join(path)) return;
  throw usageError(
    'misplaced-part',
    `${path}: says that it is part ${part} of ${shard}, whose place is ${expected}; name the folder that tokensieve score wrote, as it wrote it`,
  );
}

function checkOneRecipe(parts: readonly FinishedPart[]): void {
  const [first] = parts;
  for (const { manifest } of parts) {
    const difference = first && explainDifference(first.manifest.recipe, manifest.recipe);
    if (!difference || difference.length === 0) continue;
    throw usageError(
      'mixed-recipes',
      `${first.manifest.shard} part ${first.manifest.part} and ${manifest.shard} part ${manifest.part} were made differently (${difference.slice(0, 3).join('; ')}); finish the scoring run with --replace, or remove one of them`,
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
      `${path}: part ${manifest.part} is of another version of the shard than part ${first.part} (${difference.join('; ')}); finish the scoring run, then remove the parts of the version that is gone`,
    );
  }
}

/**
 * The part's sequence file.
 * @throws TokensieveError fatal `part-changed` when its manifest is of another: a run may be writing here
 */
export async function openSequences(
  storage: Storage,
  { manifest, folder }: FinishedPart,
): Promise<SequenceFile> {
  const path = partFiles(folder, manifest.shard, manifest.part).sequences;
  const file = await readSequences(storage, path);
  const found = file.metadata['fingerprint'];
  if (found === manifest.fingerprint) return file;
  throw fatalError(
    'part-changed',
    `${path}: is of fingerprint ${String(found).slice(0, 12)}…, its manifest of ${manifest.fingerprint.slice(0, 12)}…; wait for the run that writes here, then run the command again`,
  );
}

/**
 * The part as selection reads it.
 * @param domainColumn kept column whose value is a document's domain, where the method asks for one
 * @param signal ends every pass over the part, at its next batch, with the signal's reason
 */
export function partSource(
  storage: Storage,
  finished: FinishedPart,
  domainColumn: string | null,
  signal?: AbortSignal,
): PartSource {
  const { shard, part } = finished.manifest;
  const files = partFiles(finished.folder, shard, part);
  // Domains are held only while the part is being read: a corpus has more documents than memory has room.
  let domains: ReadonlyMap<bigint, string> = new Map();
  return {
    shard,
    part,
    async *batches(): AsyncGenerator<SequenceBatch> {
      if (domainColumn !== null) domains = await readDomains(storage, files.documents, domainColumn);
      for await (const batch of (await openSequences(storage, finished)).batches()) {
        signal?.throwIfAborted();
        yield batch;
      }
      domains = new Map();
    },
    ...(domainColumn !== null && { domainOf: (document: bigint) => domains.get(document) ?? null }),
  };
}

async function readDomains(
  storage: Storage,
  path: string,
  column: string,
): Promise<ReadonlyMap<bigint, string>> {
  const documents = await readDocuments(storage, path);
  if (!documents.keep.includes(column)) {
    throw usageError(
      'no-domains',
      `${path}: no column '${column}', found ${documents.keep.join(', ') || 'none'}; score with --keep-columns ${column}, or name another with --domains`,
    );
  }
  const domains = new Map<bigint, string>();
  for await (const batch of documents.batches()) {
    for (const { row, columns } of batch) {
      const value = columns[column];
      if (typeof value === 'string') domains.set(BigInt(row), value);
    }
  }
  return domains;
}
