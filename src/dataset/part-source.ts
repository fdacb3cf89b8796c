/** Parts of a data set read in passes, every one of which checks the bytes. */
import { fatalError, firstLine, TokensieveError, usageError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { readDocuments } from './documents.js';
import { type FinishedPart, openSequences } from './finished-parts.js';
import { digestOf } from './manifest.js';
import { type PartPlace, partFiles } from './part-files.js';
import type { SequenceFile } from './reader.js';
import type { SequenceBatch } from './sequence-batch.js';

/**
 * A part of a scored data set. `batches()` may be called several times (methods with passes read a part more
 * than once) and each time gives the same rows in order; how they are cut into batches never matters.
 */
export interface PartSource extends PartPlace {
  batches(): AsyncIterable<SequenceBatch>;
  /** Domain of a document, by its row in the shard; null when it has none. Only `domain-weights` asks. */
  domainOf?(document: bigint): string | null;
}

/**
 * The part as selection reads it. Every pass checks the bytes that it reads against the manifest: flipped bits are
 * losses like others, and nothing else would tell.
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
      try {
        if (domainColumn !== null) {
          const digest = digestOf(finished.manifest, 'documents');
          domains = await readDomains(storage, files.documents, domainColumn, digest);
        }
        const digest = digestOf(finished.manifest, 'sequences');
        for await (const batch of (await openPart(storage, finished)).batches(digest)) {
          signal?.throwIfAborted();
          yield batch;
        }
      } catch (error) {
        throw damageError(finished.folder, error);
      }
      domains = new Map();
    },
    ...(domainColumn !== null && { domainOf: (document: bigint) => domains.get(document) ?? null }),
  };
}

/** The part's sequence file. @throws TokensieveError fatal `part-damaged`, `part-changed` */
export async function openPart(storage: Storage, finished: FinishedPart): Promise<SequenceFile> {
  try {
    return await openSequences(storage, finished);
  } catch (error) {
    throw damageError(finished.folder, error);
  }
}

/** What is wrong with a file that its manifest vouches for, and how to get it back. */
function damageError(folder: string, error: unknown): unknown {
  if (!(error instanceof TokensieveError) || error.reach !== 'input') return error;
  return fatalError(
    'part-damaged',
    `${firstLine(error)}; to make this part again: tokensieve verify ${folder} --repair, then the command that wrote it`,
    { cause: error },
  );
}

async function readDomains(
  storage: Storage,
  path: string,
  column: string,
  sha256: string | undefined,
): Promise<ReadonlyMap<bigint, string>> {
  const documents = await readDocuments(storage, path);
  if (!documents.keep.includes(column)) {
    throw usageError(
      'no-domains',
      `${path}: no column '${column}', found ${documents.keep.join(', ') || 'none'}; score with --keep-columns ${column}, or name another with --domains`,
    );
  }
  const domains = new Map<bigint, string>();
  for await (const batch of documents.batches(sha256)) {
    for (const { row, columns } of batch) {
      const value = columns[column];
      if (typeof value === 'string') domains.set(BigInt(row), value);
    }
  }
  return domains;
}
