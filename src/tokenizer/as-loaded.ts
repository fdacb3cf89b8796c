import { fatalError } from '../errors.js';
import { type Companions, isRecord } from './companions.js';
import { type BpeModel, type Component, type Definition, flatten } from './definition.js';
import { type LibraryClass, libraryClassOf } from './library-classes.js';
import { addedTokensAsLoaded, namedTokens, type TokenName } from './library-tokens.js';

/** A tokenizer as `AutoTokenizer.from_pretrained(folder)` of transformers 5.24 has it. */
export interface Loaded {
  readonly definition: Definition;
  readonly class: LibraryClass;
  /** What the user should know of it: one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Applies what lies beside a tokenizer.json to it: most of the library's classes take only vocabulary, merges and
 * post-processor from the file and build normalizer and pre-tokenizer from their own code and tokenizer_config.json.
 * @throws TokensieveError fatal `unsupported-tokenizer` for a class whose code is not followed here, or whose code would make
 *   another tokenizer of the file than the file says; `bad-tokenizer` where the files contradict each other
 */
export function asLoaded(source: Definition, companions: Companions): Loaded {
  refuseVersionedFile(source.path, companions);
  const found = libraryClassOf(companions, source.mentionsByteLevel);
  if ('unknown' in found) {
    throw fatalError(
      'unsupported-tokenizer',
      `${source.path}: transformers makes a ${found.unknown} of this folder, which builds its steps by its own code and not by tokenizer.json; if tokenizer.json is the tokenizer, set "tokenizer_class": "PreTrainedTokenizerFast" in tokenizer_config.json`,
    );
  }
  const { name } = found;
  const rebuilt = name === 'TokenizersBackend' ? source : rebuild(source, name, companions);
  const definition = { ...rebuilt, addedTokens: addedTokensAsLoaded(source, companions, name) };
  return withMistralPattern(definition, companions, name);
}

/** `fast_tokenizer_files` makes the library read another file, by its own version (`get_fast_tokenizer_file`). */
function refuseVersionedFile(path: string, { tokenizerConfig }: Companions): void {
  const files = tokenizerConfig?.['fast_tokenizer_files'];
  const other = (Array.isArray(files) ? files : []).find(
    (file) => typeof file === 'string' && /^tokenizer\..+\.json$/.test(file),
  );
  if (other === undefined) return;
  throw fatalError(
    'unsupported-tokenizer',
    `${path}: "fast_tokenizer_files" of tokenizer_config.json names ${JSON.stringify(other)}, which transformers may read in its place; give the file that counts the name tokenizer.json and take the key out`,
  );
}

const GPT2_BYTE_LEVEL = { trim_offsets: true, use_regex: true } as const;
const NFC: Component = { type: 'NFC' };

/** PRETOKENIZE_REGEX of models/qwen2 and of models/qwen3_5. */
const QWEN2_WORDS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const QWEN3_5_WORDS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** The pipeline of a class's `__init__` around the file's vocabulary and merges. */
function rebuild(
  source: Definition,
  name: Exclude<LibraryClass, 'TokenizersBackend'>,
  companions: Companions,
): Definition {
  const { path, model } = source;
  const settings = companions.tokenizerConfig ?? {};
  const named = namedTokens(companions);
  const contentOf = (role: TokenName, fallback: string): string | null =>
    named.has(role) ? (named.get(role)?.token?.content ?? null) : fallback;
  if (model.type !== 'BPE') {
    throw fatalError(
      'unsupported-tokenizer',
      `${path}: model is ${model.type}, but transformers makes a ${name} of this folder, which is byte pair encoding and would take the pieces without any merge; set "tokenizer_class": "PreTrainedTokenizerFast" in tokenizer_config.json, so that tokenizer.json counts`,
    );
  }
  const prefix = settings['add_prefix_space'];
  const withPrefix = (fallback: boolean): boolean => (prefix == null ? fallback : prefix === true);
  const bare: BpeModel = {
    ...model,
    unkToken: null,
    fuseUnk: false,
    byteFallback: false,
    ignoreMerges: false,
    continuingSubwordPrefix: '',
    endOfWordSuffix: '',
  };
  const byteLevel: Component = {
    type: 'ByteLevel',
    add_prefix_space: withPrefix(false),
    ...GPT2_BYTE_LEVEL,
  };
  const made = (model: BpeModel, normalizer: Component | null, preTokenizer: Component): Definition => ({
    ...source,
    model,
    normalizer,
    preTokenizer,
  });
  switch (name) {
    case 'GPT2Tokenizer':
    case 'CodeGenTokenizer':
      return made(bare, null, byteLevel);
    case 'GPTNeoXTokenizer':
      // Its __init__ ends by a template of nothing, whatever tokenizer.json and add_bos_token say.
      return { ...made(bare, NFC, byteLevel), postProcessor: null };
    case 'CohereTokenizer':
      return made(bare, NFC, sequence([{ type: 'Digits', individual_digits: true }, byteLevel]));
    case 'Qwen2Tokenizer':
    case 'Qwen3_5Tokenizer': {
      const words = name === 'Qwen2Tokenizer' ? QWEN2_WORDS : QWEN3_5_WORDS;
      return made(bare, NFC, sequence([split(words), { ...byteLevel, use_regex: false }]));
    }
    case 'LlamaTokenizer': {
      const scheme = !withPrefix(true) ? 'never' : settings['legacy'] === true ? 'always' : 'first';
      return made({ ...bare, fuseUnk: true, byteFallback: true }, null, metaspace(scheme));
    }
    case 'CodeLlamaTokenizer': {
      const bos = contentOf('bos', '<s>');
      const unkToken = contentOf('unk', '<unk>');
      return {
        ...made(
          { ...bare, fuseUnk: true, byteFallback: true, unkToken },
          null,
          metaspace(withPrefix(true) ? 'first' : 'never'),
        ),
        // It sets add_bos_token itself: a template of BOS and text, whatever tokenizer.json says.
        postProcessor: {
          type: 'TemplateProcessing',
          single: [...(bos === null ? [] : [{ SpecialToken: { id: bos } }]), { Sequence: { id: 'A' } }],
        },
      };
    }
    case 'GemmaTokenizer': {
      const unkToken = contentOf('unk', '<unk>');
      return made(
        { ...bare, fuseUnk: true, byteFallback: true, unkToken },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
      );
    }
  }
}

const sequence = (pretokenizers: readonly Component[]): Component => ({ type: 'Sequence', pretokenizers });
const metaspace = (scheme: string): Component => ({
  type: 'Metaspace',
  replacement: '▁',
  prepend_scheme: scheme,
  split: false,
});
const split = (regex: string): Component => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});

/** Tekken's pattern, which the library puts in where `fix_mistral_regex` asks for it. */
const TEKKEN_WORDS = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const MISTRAL_TYPES = new Set(['mistral', 'mistral3', 'voxtral', 'ministral', 'pixtral']);

/** Large Mistral vocabularies of before transformers 5 were published with Llama 3's pattern (`_patch_mistral_regex`). */
function withMistralPattern(
  definition: Definition,
  { tokenizerConfig, config }: Companions,
  name: LibraryClass,
): Loaded {
  const unchanged = { definition, class: name, notes: [] };
  const { preTokenizer, model } = definition;
  const largest = definition.addedTokens.reduce((most, { id }) => Math.max(most, id + 1), model.vocab.size);
  if (largest <= 100_000 || preTokenizer === null || config === null) return unchanged;
  const version = config['transformers_version'];
  const type = config['model_type'];
  if (typeof version === 'string' && Number(version.split('.')[0]) >= 5) return unchanged;
  if (typeof type === 'string' && !MISTRAL_TYPES.has(type)) return unchanged;
  const steps = flatten(preTokenizer);
  if (tokenizerConfig?.['fix_mistral_regex'] === true) {
    const after: readonly Component[] =
      preTokenizer.type === 'Sequence'
        ? steps.slice(1)
        : preTokenizer.type === 'Metaspace'
          ? [{ type: 'ByteLevel', add_prefix_space: false, use_regex: false, trim_offsets: true }]
          : [preTokenizer];
    return {
      ...unchanged,
      definition: { ...definition, preTokenizer: sequence([split(TEKKEN_WORDS), ...after]) },
    };
  }
  const first = steps[0]?.['pattern'];
  const pattern = isRecord(first) ? first['Regex'] : null;
  if (
    tokenizerConfig?.['fix_mistral_regex'] === false ||
    pattern === TEKKEN_WORDS ||
    typeof type !== 'string'
  )
    return unchanged;
  return {
    ...unchanged,
    notes: [
      `${definition.path}: a large Mistral tokenizer of before transformers 5 whose split pattern is not Tekken's: ids are the file's own, as transformers gives them, and probably not those that the model was trained on; "fix_mistral_regex": true in tokenizer_config.json puts the right pattern in`,
    ],
  };
}
