/** From scored tokens to readable documents: the text of the shard where it is the one that was scored. */
import type { Shard } from '../../corpus/shard.js';
import type { RowEdges } from '../../dataset/recipe.js';
import { firstLine, TokensieveError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import {
  type PlacedTokens,
  placeByBytes,
  spellOut,
  type TokenBytes,
  writeIds,
} from '../../texts/place-tokens.js';
import type { Encoding, Tokenizer } from '../../tokenizer/tokenizer.js';
import type { DocumentTokens } from './document-tokens.js';
import type { ReadingDocument } from './reading-document.js';
import { MAX_STREAM_BYTES, type ShardText, shardTexts } from './shard-texts.js';

/** A document of the sample before its text is read. */
export interface ScoredDocument
  extends Pick<ReadingDocument, 'shard' | 'part' | 'row' | 'chosen' | 'columns' | 'totalTokens'> {
  /** Of the text that was scored; null where no documents file says it. */
  readonly textDigest: Uint8Array | null;
  readonly edges: RowEdges;
  readonly reading: {
    readonly textColumn: string;
    readonly maxTextBytes: number;
    readonly maxPageBytes?: number;
  };
  readonly tokens: DocumentTokens;
}

export interface TextSources {
  readonly storage: Storage;
  readonly shards: readonly Shard[] | null;
  /** In words, why shards that are known of are not opened. */
  readonly notOpened?: string | null;
  readonly tokenizer: Pick<Tokenizer, 'encode'> | null;
  readonly tokenBytes: TokenBytes | null;
  readonly signal?: AbortSignal;
}

/** Ids at the end of a text that was cut, which the cut may have changed. */
const UNSURE_IDS = 64;

const NO_DIGEST = 'no documents file says which text was scored';

/** Documents with text, in the order given. */
export async function withTexts(
  documents: readonly ScoredDocument[],
  sources: TextSources,
): Promise<ReadingDocument[]> {
  const texts = await readTexts(documents, sources);
  const read: ReadingDocument[] = [];
  for (const document of documents) {
    sources.signal?.throwIfAborted();
    const text = texts.get(document) ?? 'the shard has no such row';
    const placed = typeof text === 'string' ? text : await placeInText(document, text, sources.tokenizer);
    read.push(
      typeof placed === 'string'
        ? rebuilt(document, placed, sources.tokenBytes)
        : readable(document, placed.count, placed, 'shard', null),
    );
  }
  return read;
}

/** The text of each document, or in words why there is none. */
async function readTexts(
  documents: readonly ScoredDocument[],
  { storage, shards, notOpened, tokenizer, signal }: TextSources,
): Promise<Map<ScoredDocument, ShardText | string>> {
  const texts = new Map<ScoredDocument, ShardText | string>();
  const budget = { bytes: MAX_STREAM_BYTES };
  for (const name of new Set(documents.map(({ shard }) => shard))) {
    signal?.throwIfAborted();
    const here = documents.filter(({ shard }) => shard === name);
    const shard = shards?.find((one) => one.name === name);
    const [first] = here;
    let found: ReadonlyMap<number, ShardText> | string;
    if (tokenizer === null) found = 'there is no tokenizer to place its tokens with';
    else if (here.every(({ textDigest }) => textDigest === null)) found = NO_DIGEST;
    else if (shards === null) found = notOpened ?? 'it is not known where the shards are';
    else if (shard === undefined || first === undefined) found = 'its shard is not among those named';
    else {
      const { textColumn, ...limits } = first.reading;
      const options = { columns: { text: textColumn, keep: [] }, ...limits };
      const rows = new Set(here.map(({ row }) => row));
      try {
        found = await shardTexts(storage, shard, rows, options, budget);
      } catch (error) {
        if (!(error instanceof TokensieveError)) throw error;
        found = firstLine(error);
      }
    }
    const spent = budget.bytes <= 0 && 'its shard is a stream, and was not read as far as this row';
    for (const document of here) {
      const text = typeof found === 'string' ? found : found.get(document.row) || spent;
      if (text) texts.set(document, text);
    }
  }
  return texts;
}

type PlacedDocument = PlacedTokens & { readonly count: number };

/** The document's tokens in its text, or in words why they are not of this text. */
async function placeInText(
  { tokens, edges, textDigest }: ScoredDocument,
  { head, whole, digest }: ShardText,
  tokenizer: TextSources['tokenizer'],
): Promise<PlacedDocument | string> {
  // Ids that agree are no proof: there are tokenizers that make the same ids of any text.
  if (textDigest === null) return NO_DIGEST;
  if (Buffer.compare(textDigest, digest) !== 0) {
    return 'the text in its shard is not the one that was scored (its digest differs)';
  }
  const [encoding] = (await tokenizer?.encode([head])) ?? [];
  if (encoding === undefined) return 'the tokenizer gave nothing for it';
  const lead = edges.bosId !== null && tokens.ids[0] === edges.bosId ? 1 : 0;
  const sure = lead + (whole ? encoding.ids.length : Math.max(0, encoding.ids.length - UNSURE_IDS));
  const all = whole && tokens.complete;
  const tail = all && edges.eosId !== null ? 1 : 0;
  const count = Math.min(tokens.ids.length, sure + tail);
  for (let i = lead; i < Math.min(count, sure); i++) {
    if (tokens.ids[i] !== encoding.ids[i - lead]) {
      return `the tokenizer gives its text other ids than were scored (token ${i - lead})`;
    }
  }
  if (all && tokens.ids.length !== sure + tail) {
    return `the tokenizer gives its text ${sure + tail} tokens; ${tokens.ids.length} were scored`;
  }
  if (tail === 1 && tokens.ids[count - 1] !== edges.eosId)
    return 'its last token is not the end of a document';
  return placedWith(encoding, head, { lead, count, tail, all }) ?? 'its tokens have no places in the text';
}

/** Places of the tokens that were compared, BOS at the text's beginning and EOS at its end. */
function placedWith(
  encoding: Encoding,
  head: string,
  { lead, count, tail, all }: { lead: number; count: number; tail: number; all: boolean },
): PlacedDocument | null {
  const { byteStart, byteEnd } = encoding.offsets();
  const inText = count - lead - tail;
  const places = placeByBytes(head, byteStart.subarray(0, inText), byteEnd.subarray(0, inText));
  if (places === null) return null;
  const start = new Int32Array(count);
  const end = new Int32Array(count);
  start.set(places.start, lead);
  end.set(places.end, lead);
  const last = places.end.reduce((most, one) => Math.max(most, one), 0);
  const text = all ? head : head.slice(0, last);
  if (tail === 1) start[count - 1] = end[count - 1] = text.length;
  return { text, start, end, count };
}

function rebuilt(document: ScoredDocument, why: string, tokenBytes: TokenBytes | null): ReadingDocument {
  const { ids } = document.tokens;
  return tokenBytes === null
    ? readable(document, ids.length, writeIds(ids), 'ids', why)
    : readable(document, ids.length, spellOut(ids, tokenBytes), 'rebuilt', why);
}

function readable(
  document: ScoredDocument,
  count: number,
  { text, start, end }: PlacedTokens,
  source: ReadingDocument['source'],
  note: string | null,
): ReadingDocument {
  const { shard, part, row, chosen, columns, totalTokens, tokens } = document;
  const cut = (values: Float32Array | null) => values?.subarray(0, count) ?? null;
  return {
    shard,
    part,
    row,
    chosen,
    columns,
    text,
    source,
    note,
    tokens: {
      ids: tokens.ids.subarray(0, count),
      start,
      end,
      reference: cut(tokens.reference),
      current: cut(tokens.current),
      weight: cut(tokens.weight),
    },
    totalTokens,
    complete: tokens.complete && count === tokens.ids.length,
  };
}
