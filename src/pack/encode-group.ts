import type { Document } from '../corpus/document.js';
import { locatedError } from '../errors.js';
import type { TokenizedDocument } from '../sequence/packing.js';
import type { ByteOffsets, Encoding, Tokenizer } from '../tokenizer/tokenizer.js';

/** The group's encodings, in order; an error names the rows it came up in. */
export async function encodeGroup(
  tokenizer: Tokenizer,
  { shard, part }: { readonly shard: string; readonly part: number },
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
