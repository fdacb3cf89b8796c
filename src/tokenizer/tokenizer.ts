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
}

export type TokenizerEngine = 'native' | 'portable';

/** One tokenizer.json behind either engine: the same text gives the same ids from both. */
export interface Tokenizer {
  readonly engine: TokenizerEngine;
  /** sha256 of the tokenizer's meaning: its JSON in canonical form, so that whitespace and key order do not count. */
  readonly hash: string;
  /** One more than the largest id that `encode` or BOS/EOS can give. */
  readonly vocabularySize: number;
  /** Id put before each document; null when the tokenizer defines none. */
  readonly bosId: number | null;
  /** Id put after each document; null when the tokenizer defines none. */
  readonly eosId: number | null;
  /** Encodes documents. Control tokens spelled out in a text are text. BOS and EOS are never added here. */
  encode(texts: readonly string[]): Promise<Encoding[]>;
  close(): Promise<void>;
}
