/** A document as the reading view shows it: its text, and what each token of it came to. */

/** Tokens shown of one document, and of all together: what is cut is stated beside it. */
export const MAX_DOCUMENT_TOKENS = 4000;
export const MAX_TOKENS = 150_000;

/**
 * Where the text comes from: read again from the `shard` and found to be the text that was scored; `rebuilt` from the
 * ids, which white space and the letters of a broken character may not survive; or the `ids` themselves, without a
 * tokenizer.
 */
export type TextSource = 'shard' | 'rebuilt' | 'ids';

/** Why a document is in the sample. */
export type Choice = 'sample' | 'highest' | 'lowest';

/** [tokens] each; BOS and EOS are among them and have no text. */
export interface ReadingTokens {
  readonly ids: Int32Array;
  /** UTF-16 units [start, end) of the text. Tokens that are pieces of one character share its range. */
  readonly start: Int32Array;
  readonly end: Int32Array;
  /** Nats; NaN where the token is no target. Null where the files lack the column. */
  readonly reference: Float32Array | null;
  readonly current: Float32Array | null;
  /** Null without a selection. */
  readonly weight: Float32Array | null;
}

export interface ReadingDocument {
  readonly shard: string;
  readonly part: number;
  /** Row in the shard. */
  readonly row: number;
  readonly chosen: readonly Choice[];
  /** Kept columns; empty where there is no documents file. */
  readonly columns: Readonly<Record<string, string | null>>;
  readonly text: string;
  readonly source: TextSource;
  /** Why the text is not the shard's own; null where it is. */
  readonly note: string | null;
  readonly tokens: ReadingTokens;
  /** Tokens that the whole document has; null where only reading on would tell. */
  readonly totalTokens: number | null;
  /** Whether all of its tokens are here. */
  readonly complete: boolean;
}

/** The first `count` tokens of a document, and the text that they cover. */
export function cutDocument(document: ReadingDocument, count: number): ReadingDocument {
  const { tokens, text } = document;
  if (count >= tokens.ids.length) return document;
  const cut = <T extends Int32Array | Float32Array>(values: T): T => values.subarray(0, count) as T;
  const maybe = (values: Float32Array | null) => (values === null ? null : cut(values));
  const ends = cut(tokens.end);
  return {
    ...document,
    text: text.slice(
      0,
      ends.reduce((last, end) => Math.max(last, end), 0),
    ),
    tokens: {
      ids: cut(tokens.ids),
      start: cut(tokens.start),
      end: ends,
      reference: maybe(tokens.reference),
      current: maybe(tokens.current),
      weight: maybe(tokens.weight),
    },
    complete: false,
  };
}

/** The largest size to which each may be cut so that together they come to at most `total`. */
export function fairCap(sizes: readonly number[], total: number): number {
  const rising = [...sizes].sort((a, b) => a - b);
  let left = total;
  for (const [index, size] of rising.entries()) {
    const share = Math.floor(left / (rising.length - index));
    if (size > share) return share;
    left -= size;
  }
  return Number.POSITIVE_INFINITY;
}
