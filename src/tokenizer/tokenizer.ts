/** A document's tokens, without BOS and EOS. All three arrays have one length. */
export interface Encoding {
  /** Token ids. */
  readonly ids: Int32Array;
  /**
   * UTF-8 byte range of the document's text that each token covers, [byteStart, byteEnd). A token that is a
   * fragment of one character has that character's whole range; −1 in both where no range is defined.
   */
  readonly byteStart: Int32Array;
  readonly byteEnd: Int32Array;
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
