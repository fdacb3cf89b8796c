/**
 * Text to rows: documents of a part, in groups, to ids, to rows of the model. The one step for packing, scoring and
 * held-out evaluation, so that they see the same rows.
 */
import type { CorpusRow, Document } from '../corpus/document.js';
import { locatedError } from '../errors.js';
import { mapAhead } from '../flow/map-ahead.js';
import {
  createPacker,
  type PackingRules,
  type TokenizedDocument,
  wrappedLength,
} from '../sequence/packing.js';
import type { Sequence } from '../sequence/sequence.js';
import type { SequenceSettings } from '../sequence/settings.js';
import type { ByteOffsets, Encoding, Tokenizer } from '../tokenizer/tokenizer.js';
import type { TextLedger } from './part-text.js';
import { overlapOf } from './recipe.js';

/** Groups of documents tokenized ahead of packing. */
const GROUPS_AHEAD = 4;

/** A document whose rows are packed, or about to be. */
export interface RowsOfDocument {
  readonly document: Document;
  readonly tokenized: TokenizedDocument;
  /** Ids with the marks around them. */
  readonly tokens: number;
}

export interface TextToRows {
  readonly tokenizer: Pick<Tokenizer, 'encode'>;
  readonly packing: PackingRules;
  /** Keeps counts of the rows as they go by, and what is set aside. */
  readonly ledger: TextLedger;
  /** Names the part in errors. */
  readonly place: { readonly shard: string; readonly part: number };
  /** Is told of each group's documents before rows that may hold them are given. */
  tell(documents: readonly RowsOfDocument[]): Promise<void> | void;
}

/** The rows of the model, some at a time, in order. Documents that no tokenizer's pieces spell are set aside. */
export async function* textRows(
  rows: AsyncIterable<CorpusRow>,
  { tokenizer, packing, ledger, place, tell }: TextToRows,
): AsyncGenerator<readonly Sequence[]> {
  const packer = createPacker(packing);
  const encoded = mapAhead(ledger.groups(rows), GROUPS_AHEAD, async (group) => ({
    group,
    encodings: await encodeGroup(tokenizer, place, group),
  }));
  for await (const { group, encodings } of encoded) {
    const documents: RowsOfDocument[] = [];
    for (const [index, document] of group.entries()) {
      const encoding = encodings[index];
      if (encoding === undefined) {
        throw new Error(`the tokenizer gave ${encodings.length} results for ${group.length} texts`);
      }
      if (encoding.unspellable !== undefined) {
        ledger.setAside(document, encoding.unspellable);
        continue;
      }
      const tokenized = tokenizedDocument(document, encoding);
      documents.push({ document, tokenized, tokens: wrappedLength(tokenized, packing) });
    }
    await tell(documents);
    yield documents.flatMap(({ tokenized }) => packer.push(tokenized));
  }
  yield packer.finish();
}

/** How rows are packed, by the settings and what the tokenizer puts around documents. */
export const packingRules = (
  sequence: Pick<SequenceSettings, 'length' | 'packing' | 'attention' | 'overlap' | 'eos_eligible'>,
  { bosId, eosId }: Pick<Tokenizer, 'bosId' | 'eosId'>,
): PackingRules => ({
  length: sequence.length,
  packing: sequence.packing,
  attention: sequence.attention,
  overlap: Math.min(overlapOf(sequence), sequence.length - 1),
  bosId,
  eosId,
  eosEligible: sequence.eos_eligible,
});

/** The group's encodings, in order; an error names the rows it came up in. */
async function encodeGroup(
  tokenizer: Pick<Tokenizer, 'encode'>,
  { shard, part }: TextToRows['place'],
  group: readonly Document[],
): Promise<readonly Encoding[]> {
  try {
    return await tokenizer.encode(group.map(({ text }) => text));
  } catch (error) {
    throw locatedError(`${shard} part ${part}, rows ${group[0]?.row} to ${group.at(-1)?.row}`, error);
  }
}

/** A document that several rows cut asks for its byte offsets several times; they are worked out once. */
export function tokenizedDocument(document: Document, encoding: Encoding): TokenizedDocument {
  let offsets: ByteOffsets | undefined;
  return {
    row: document.row,
    ids: encoding.ids,
    textBytes: document.textBytes,
    offsets: () => {
      offsets ??= encoding.offsets();
      return offsets;
    },
  };
}
