/**
 * UTF-8 byte range of the document's text that each token covers, [byteStart, byteEnd), both [tokens]. A token
 * that is a fragment of one character has that character's whole range; −1 in both where no range is defined.
 */
export interface ByteOffsets {
  readonly byteStart: Int32Array;
  readonly byteEnd: Int32Array;
}

/** A document's tokens, without BOS and EOS. */
export interface Encoding {
  /** [tokens] token ids. */
  readonly ids: Int32Array;
  /**
   * Works the byte offsets out anew from text and ids at each call, so that documents which no window cuts
   * never pay for them: keep the result if it is needed twice. Synchronous, O(bytes of the text).
   */
  offsets(): ByteOffsets;
  /**
   * Why the text has no ids, in one clause; absent where it has. `ids` is empty then: the tokenizer would drop a part of the
   * text and say nothing.
   */
  readonly unspellable?: string;
}

/**
 * What the tokenizer's own `encode` puts around a text, and what a text follows that nothing precedes (its `bos_token`, else its
 * `eos_token`; null for neither). Requests to a model are made by these, documents by `bosId` and `eosId`.
 */
export interface RequestMarks {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly prefixId: number | null;
}

export type TokenizerEngine = 'native' | 'portable';

/** One tokenizer.json behind either engine: the same text gives the same ids and offsets from both. */
export interface Tokenizer {
  readonly engine: TokenizerEngine;
  /**
   * sha256 of what decides the ids of a text (normalizer, pre-tokenizer, model, added tokens, and whether control
   * tokens in a text are text), in canonical form: whitespace, key order and the way merges are written do not
   * count. BOS and EOS are not in it: a fingerprint names them beside it.
   */
  readonly hash: string;
  /** One more than the largest id that `encode` or BOS/EOS can give. */
  readonly vocabularySize: number;
  /** Id put before each document; null where none is. */
  readonly bosId: number | null;
  /** Id put after each document; null where none is. */
  readonly eosId: number | null;
  /** Who says so, or why there is none: one clause. */
  readonly bosSource: string;
  readonly eosSource: string;
  readonly requests: RequestMarks;
  /** What the user should know of the files: one sentence each. */
  readonly notes: readonly string[];
  /**
   * Encodes documents, in order; calls may overlap. Control tokens spelled out in a text are text (unless opened
   * with `controlTokens: 'special'`). BOS and EOS are never added here.
   */
  encode(texts: readonly string[]): Promise<Encoding[]>;
  /** Ends worker threads. Encoding after it is an error. */
  close(): Promise<void>;
}
