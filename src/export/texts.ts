import { z } from 'zod';
import { expandShards } from '../corpus/expand.js';
import { planShard, readShard } from '../corpus/read-shard.js';
import type { PartReading, ReadOptions, Shard } from '../corpus/shard.js';
import { textDigest } from '../dataset/documents.js';
import { documentsOf } from '../dataset/documents-beside.js';
import { checkPartFile, openDocuments } from '../dataset/finished-parts.js';
import { type PartPlace, partFiles, scoredFolder } from '../dataset/part-files.js';
import { corpusSection, neededFields } from '../dataset/recipe.js';
import { usageError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { findRunInputs } from '../texts/run-inputs.js';
import { openTokenizer } from '../tokenizer/open.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { ExportContext } from './format.js';
import { changed, type ExportSource } from './source.js';

/** A document of a part with its text, which is the one that was scored. */
export interface TextDocument {
  readonly row: number;
  readonly text: string;
  /** Columns that were kept. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** Texts of a run's documents, read again from its shards, and its tokenizer. */
export interface Texts {
  readonly tokenizer: Tokenizer;
  /** Documents of a part in order; digests are checked. */
  documents(place: PartPlace): AsyncGenerator<TextDocument>;
  close(): Promise<void>;
}

const textFields = z.object({
  corpus: corpusSection
    .pick({ text: true, max_text_bytes: true, part_bytes: true, max_page_bytes: true, limit: true })
    .partial({ max_page_bytes: true, limit: true }),
});

/**
 * @throws TokensieveError (usage) `no-tokenizer-known`, `no-shards-known`, `tokenizers-differ`, `no-shards`,
 *   `no-documents`
 */
export async function openTexts({ storage, settings, source }: ExportContext): Promise<Texts> {
  const run = settings.run;
  const inputs = await findRunInputs(
    storage,
    run,
    source.recipe.rows,
    settings.tokenizer,
    settings.remembered,
  );
  if (inputs.tokenizer === null) {
    throw usageError(
      'no-tokenizer-known',
      `${run}: where its tokenizer is is not known, or it has changed; name it with --tokenizer`,
    );
  }
  const { remembered } = inputs;
  const patterns = settings.shards ?? remembered.shards;
  if (patterns === null) {
    throw usageError(
      'no-shards-known',
      `${run}: ${remembered.notOpened ?? 'where its text is is not known; name its shards with --shards'}`,
    );
  }
  const shards = await expandShards(storage, patterns);
  const found = neededFields(source.recipe.rows, textFields);
  if ('problem' in found) {
    throw usageError(
      'no-shards-known',
      `${run}: its manifests do not tell how its text was read (recipe.${found.problem}); score or pack the corpus again`,
    );
  }
  const { corpus } = found.fields;
  const options: ReadOptions = {
    columns: { text: corpus.text, keep: [] },
    maxTextBytes: corpus.max_text_bytes,
    partBytes: corpus.part_bytes,
    ...(corpus.max_page_bytes !== undefined && { maxPageBytes: corpus.max_page_bytes }),
    ...(corpus.limit !== undefined && { limit: corpus.limit }),
  };
  const tokenizer = await openTokenizer({
    path: inputs.tokenizer.path,
    engine: 'auto',
    controlTokens: inputs.controlTokens,
    workers: 1,
  });
  const readings = createReadings(storage, shards, options);
  return {
    tokenizer,
    async *documents(place) {
      const records = await recordsOf(storage, source, run, place);
      const rows = (await readings.part(place)).rows[Symbol.asyncIterator]();
      const file = partFiles(source.folder, place.shard, place.part).sequences;
      for await (const batch of records.batches()) {
        for (const { row, textDigest: digest, columns } of batch) {
          let found = await rows.next();
          while (found.done !== true && found.value.row < row) found = await rows.next();
          if (found.done === true || found.value.row !== row || found.value.kind !== 'document') {
            throw changed(file, `document ${row} is not in its shard ${place.shard} any more`);
          }
          const { text } = found.value;
          if (Buffer.compare(digest, textDigest(text)) !== 0) {
            throw changed(
              file,
              `document ${row} of ${place.shard} has another text than was scored (its digest differs)`,
            );
          }
          yield { row, text, columns };
        }
      }
    },
    close: () => tokenizer.close(),
  };
}

/** Records of a part's documents. */
async function recordsOf(storage: Storage, source: ExportSource, run: string, { shard, part }: PartPlace) {
  const found = source.parts.find(({ manifest }) => manifest.shard === shard && manifest.part === part);
  const owner = found && (await documentsOf(storage, found, run));
  if (owner) {
    // First: whoever takes the documents stops with the last that he needs, before the file's end.
    await checkPartFile(storage, owner, 'documents');
    return openDocuments(storage, owner);
  }
  throw usageError(
    'no-documents',
    `${shard} part ${part}: no documents file of its text in ${source.folder} or ${scoredFolder(run)}; export from the run's own folder`,
  );
}

/** Parts of shards, asked for in order: a stream is read once, however many parts it has. */
function createReadings(storage: Storage, shards: readonly Shard[], options: ReadOptions) {
  let open: { readonly name: string; readonly parts: AsyncIterator<PartReading>; next: number } | null = null;
  return {
    async part({ shard: name, part }: PartPlace): Promise<PartReading> {
      const shard = shards.find((one) => one.name === name);
      if (shard === undefined) {
        throw usageError(
          'no-shards-known',
          `${name}: not among the shards that hold the text; name them with --shards as they were named for scoring`,
        );
      }
      if (open === null || open.name !== name || open.next > part) {
        const plan = await planShard(storage, shard, options);
        const isWanted = plan.parts === null ? () => true : (number: number) => number >= part;
        open = { name, parts: readShard(storage, plan, options, isWanted)[Symbol.asyncIterator](), next: 0 };
      }
      for (;;) {
        const found = await open.parts.next();
        if (found.done === true) throw usageError('shard-changed', `${name}: has no part ${part} any more`);
        open.next = found.value.part + 1;
        if (found.value.part === part) return found.value;
        for await (const _ of found.value.rows);
      }
    },
  };
}
