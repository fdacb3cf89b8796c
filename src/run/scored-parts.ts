import { readDocuments } from '../dataset/documents.js';
import { type FinishedPart, openSequences, readParts } from '../dataset/finished-parts.js';
import { MANIFEST_SUFFIX } from '../dataset/manifest.js';
import { partFiles, scoredFolder } from '../dataset/part-files.js';
import type { SequenceBatch } from '../dataset/sequence-batch.js';
import { usageError } from '../errors.js';
import type { PartSource } from '../select/part-source.js';
import type { Storage } from '../storage/storage.js';

/**
 * The finished parts of a run, in global order. `run` is a run's output folder or the scored folder itself.
 * @throws TokensieveError (usage) `nothing-scored`; and as `readParts` throws
 */
export async function finishedParts(storage: Storage, run: string): Promise<readonly FinishedPart[]> {
  for (const folder of [scoredFolder(run), run]) {
    const paths = (await storage.list(folder)).filter((path) => path.endsWith(MANIFEST_SUFFIX));
    if (paths.length > 0) return readParts(storage, folder, paths);
  }
  throw usageError(
    'nothing-scored',
    `${run}: no finished parts (*${MANIFEST_SUFFIX}) here or in scored/; name the --out folder of tokensieve score`,
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
