// The parts used here. The package's own types import each other without file endings, which `nodenext` refuses.
declare module '@huggingface/tokenizers' {
  export class BPE {
    constructor(config: {
      type: 'BPE';
      vocab: Record<string, number>;
      merges: [string, string][];
      unk_token: string;
      fuse_unk: boolean;
      byte_fallback: boolean;
      ignore_merges: boolean;
    });
    readonly tokens_to_ids: ReadonlyMap<string, number>;
    /** One word into pieces. */
    bpe(word: string): string[];
    /** Words into pieces, bytes in place of characters that no piece has. */
    encode(words: string[]): string[];
  }
  export class ByteLevelPreTokenizer {
    constructor(config: { type: 'ByteLevel'; add_prefix_space: boolean; use_regex: boolean });
    pre_tokenize(text: string | string[]): string[];
  }
  export class SplitPreTokenizer {
    constructor(config: { type: 'Split'; pattern: { Regex: string }; behavior: 'Isolated'; invert: boolean });
    /** Flags g and u; null for a kind of pattern that it does not know. */
    readonly pattern: RegExp | null;
  }
  /** The whole library behind one door: what tests compare with. */
  export class Tokenizer {
    constructor(tokenizer: object, config: object);
    encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[]; tokens: string[] };
    decode(ids: number[], options?: { skip_special_tokens?: boolean }): string;
  }
}
