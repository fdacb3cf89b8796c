/** What a rule change is judged by: what a run says of itself, and what its tokenizer and model folders still say. Plain data. */

export interface RunFacts {
  /** Versions of the rules that the run was made by; a stage that is not named is of version 1. */
  readonly semantics: Readonly<Record<string, unknown>>;
  /** Ids that were put around every document; null for none. */
  readonly inserted: { readonly bosId: number | null; readonly eosId: number | null };
  readonly sequence: { readonly length: number; readonly bos: boolean; readonly eos: boolean };
  /** Tokens that no row has more of. */
  readonly longestRow: number;
  /** Hash of the tokenizer that the run's ids are by; null where it does not say. */
  readonly tokenizerHash: string | null;
  /** Columns that documents keep. */
  readonly keep: readonly string[];
  readonly tokenizer: Known<TokenizerFacts>;
  /** Models whose losses this run computed itself. */
  readonly models: readonly { readonly role: string; readonly facts: Known<ModelFacts> }[];
  readonly reading: Known<ReadingFacts>;
}

/** Facts, or in one clause why there are none. */
export type Known<T> = T | { readonly missing: string };

export const isMissing = <T extends object>(known: Known<T>): known is { readonly missing: string } =>
  'missing' in known;

/** A BOS or EOS, and the file that it comes from. */
export interface Source {
  readonly id: number;
  readonly from: string;
}

export interface TokenizerFacts {
  /**
   * Hash of what gives a text its ids, by the rules of version 1 and by today's; null where these refuse the folder. The run's
   * own is `RunFacts.tokenizerHash`.
   */
  readonly hashes: { readonly before: string | null; readonly now: string | null };
  /** By the rules of version 1 and by today's. */
  readonly before: { readonly bos: Source | null; readonly eos: Source | null };
  readonly now: { readonly bos: Source | null; readonly eos: Source | null };
  /** Whether a word at a text's start gets a space, by tokenizer.json and by tokenizer_config.json; null where one is silent. */
  readonly prefixSpace: { readonly file: boolean | null; readonly config: boolean | null };
  /** Tokens of tokenizer_config.json's added_tokens_decoder that tokenizer.json does not hold, or holds otherwise. */
  readonly otherAddedTokens: readonly string[];
}

export type Config = Readonly<Record<string, unknown>>;

export interface ModelFacts {
  readonly folder: string;
  /** config.json; empty where there is none. */
  readonly config: Config;
  /** Names of the tensors of a checkpoint. */
  readonly tensors: ReadonlySet<string>;
  /** Names of the head and the embedding where both are there and their bytes differ; null else. */
  readonly ownHead: readonly [head: string, embedding: string] | null;
  readonly adapter: boolean;
  /** Of an ONNX export; null for checkpoints. */
  readonly graph: GraphFacts | null;
}

export interface GraphFacts {
  /** Its operators that quantise as they run. */
  readonly dynamic: readonly string[];
  /** Whether it chooses its rotary tables as it runs. */
  readonly ropeSwitch: boolean;
}

export interface ReadingFacts {
  /** Names of shards that parts were made of. */
  readonly shards: readonly string[];
  /** Files, folders and globs that the shards were found by; null where no notes tell. */
  readonly patterns: readonly string[] | null;
  /** Rows that were set aside, of the reasons that a rule changed. */
  readonly setAside: readonly SetAside[];
  /** Kept columns of jsonl shards with whole numbers beyond 2^53, as far as they were looked at. */
  readonly roundedColumns: readonly string[];
}

export interface SetAside {
  readonly shard: string;
  readonly reason: string;
  readonly detail: string;
}
