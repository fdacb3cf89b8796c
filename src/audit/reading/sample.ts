/** The documents of the reading view: drawn by seed, and those that the audit names. */
import type { Shard } from '../../corpus/shard.js';
import { recipeOf } from '../../dataset/data-set.js';
import { documentsIn } from '../../dataset/documents-beside.js';
import { type FinishedPart, openDocuments, openSequences } from '../../dataset/finished-parts.js';
import { type RowsRecipe, rowEdges } from '../../dataset/recipe.js';
import type { Storage } from '../../storage/storage.js';
import type { TokenBytes } from '../../texts/place-tokens.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { type DocumentTokens, type TokenFinder, tokenFinder } from './document-tokens.js';
import { drawRows } from './draw-rows.js';
import {
  type Choice,
  cutDocument,
  fairCap,
  MAX_DOCUMENT_TOKENS,
  MAX_TOKENS,
  type ReadingDocument,
} from './reading-document.js';
import { type ScoredDocument, withTexts } from './with-texts.js';

/** A document by its place. */
export interface DocumentPlace {
  readonly shard: string;
  readonly part: number;
  /** Row in the shard. */
  readonly row: number;
}

export interface ReadingRequest {
  readonly storage: Storage;
  /** The parts that are audited, scored or weighted. */
  readonly parts: readonly FinishedPart[];
  /**
   * Folder of scored parts, which holds the documents files of weighted ones too; null where there is none: then
   * kept columns are missing and texts are known by their ids alone.
   */
  readonly documentsFolder: string | null;
  /** Where the text is; null where that is not known, and text is rebuilt from ids. */
  readonly shards: readonly Shard[] | null;
  /** In words, why shards that are known of are not opened. */
  readonly notOpened?: string | null;
  /** The run's tokenizer, and what its ids stand for; null where there is none, and ids are shown. */
  readonly tokenizer: Pick<Tokenizer, 'encode'> | null;
  readonly tokenBytes: TokenBytes | null;
  readonly seed: number;
  /** Documents to draw. */
  readonly count: number;
  /** Documents to show besides. */
  readonly highest: readonly DocumentPlace[];
  readonly lowest: readonly DocumentPlace[];
  readonly signal?: AbortSignal;
}

/** Rows tried for each document wanted: most rows of a corpus are documents, but all of a shard may be set aside. */
const TRIES = 50;

/**
 * Documents with their text and tokens, by shard and row: a sample in which every document of the run is equally
 * likely, and those named as highest and lowest. Reads a record batch or a few of the part, and a row group of the
 * shard, for each; of streams (jsonl) up to a gigabyte in all. At most 4,000 tokens a document and 150,000 in all
 * are kept, every document cut to the same length where that is exceeded.
 * @throws TokensieveError of the run's files; a shard that cannot be read is no error, its documents' text is rebuilt
 */
export async function sampleDocuments(request: ReadingRequest): Promise<readonly ReadingDocument[]> {
  const { parts, signal } = request;
  const chosen = new Map<string, Chosen>();
  const finders = new Map<FinishedPart, TokenFinder>();

  /** Whether there is such a document. */
  async function choose(part: FinishedPart, row: number, why: Choice): Promise<boolean> {
    signal?.throwIfAborted();
    const key = `${part.manifest.shard}\n${row}`;
    const before = chosen.get(key);
    if (before !== undefined) {
      before.why.add(why);
      return true;
    }
    const finder =
      finders.get(part) ??
      tokenFinder(await openSequences(request.storage, part), rowEdges(recipeOf(part).rows));
    finders.clear();
    finders.set(part, finder);
    const tokens = await finder.find(row, MAX_DOCUMENT_TOKENS);
    if (tokens !== null) chosen.set(key, { part, row, tokens, why: new Set([why]) });
    return tokens !== null;
  }

  let [drawn, tries] = [0, 0];
  for (const { part, row } of drawRows(parts, request.seed)) {
    if (drawn >= request.count || tries++ >= TRIES * (request.count + 1)) break;
    if (await choose(part, row, 'sample')) drawn++;
  }
  for (const why of ['highest', 'lowest'] as const) {
    for (const { shard, part: number, row } of request[why]) {
      const part = parts.find(({ manifest }) => manifest.shard === shard && manifest.part === number);
      if (part !== undefined) await choose(part, row, why);
    }
  }

  const order = new Map(parts.map((part, index) => [part, index]));
  const place = ({ part }: Chosen): number => order.get(part) ?? 0;
  const documents = [...chosen.values()].sort((a, b) => place(a) - place(b) || a.row - b.row);
  const cap = fairCap(
    documents.map(({ tokens }) => tokens.ids.length),
    MAX_TOKENS,
  );
  const read = await withTexts(await withRecords(request, documents), request);
  return read.map((document) => cutDocument(document, cap));
}

interface Chosen {
  readonly part: FinishedPart;
  readonly row: number;
  readonly tokens: DocumentTokens;
  readonly why: Set<Choice>;
}

/** Adds what the documents files know: kept columns, digest and number of tokens. */
async function withRecords(
  { storage, documentsFolder, signal }: ReadingRequest,
  documents: readonly Chosen[],
): Promise<ScoredDocument[]> {
  const records = new Map<Chosen, Pick<ScoredDocument, 'columns' | 'textDigest' | 'totalTokens'>>();
  for (const part of new Set(documents.map((document) => document.part))) {
    if (documentsFolder === null) break;
    signal?.throwIfAborted();
    const here = new Map(
      documents.filter((document) => document.part === part).map((document) => [document.row, document]),
    );
    const owner = await documentsIn(storage, documentsFolder, part);
    if (owner === null) continue;
    for await (const batch of (await openDocuments(storage, owner)).batches()) {
      for (const { row, columns, textDigest, tokens } of batch) {
        const document = here.get(row);
        if (document === undefined) continue;
        records.set(document, {
          columns: columns as Record<string, string | null>,
          textDigest: Uint8Array.from(textDigest),
          totalTokens: tokens,
        });
      }
    }
  }
  return documents.map((document) => {
    const { part, row, tokens, why } = document;
    return {
      shard: part.manifest.shard,
      part: part.manifest.part,
      row,
      chosen: [...why],
      columns: {},
      textDigest: null,
      totalTokens: tokens.complete ? tokens.ids.length : null,
      ...records.get(document),
      edges: rowEdges(recipeOf(part).rows),
      reading: readingOf(recipeOf(part).rows),
      tokens,
    };
  });
}

/** How the text of a part was read. */
function readingOf({
  corpus: { text = 'text', max_text_bytes = 64 << 20, max_page_bytes },
}: RowsRecipe): ScoredDocument['reading'] {
  return {
    textColumn: text,
    maxTextBytes: max_text_bytes,
    ...(max_page_bytes !== undefined && { maxPageBytes: max_page_bytes }),
  };
}
