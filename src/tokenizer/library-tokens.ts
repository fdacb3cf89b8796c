import { join } from 'node:path';
import { fatalError } from '../errors.js';
import { type Companions, isRecord } from './companions.js';
import type { AddedToken, Definition } from './definition.js';
import type { LibraryClass } from './library-classes.js';

/** The named tokens, in the order in which the library adds those that are missing. */
const NAMES = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const;
export type TokenName = (typeof NAMES)[number];

/** An added token whose id is not settled yet. */
type Unnumbered = Omit<AddedToken, 'id'>;

/** A named token with the file that names it; `token` null where the file says that there is none. */
export interface NamedToken {
  readonly token: Unnumbered | null;
  readonly source: string;
}

const END = '<|endoftext|>';

/** What each class takes where no file names the token (the defaults of its `__init__`). */
const DEFAULTS: Readonly<Record<LibraryClass, Readonly<Partial<Record<TokenName, string>>>>> = {
  TokenizersBackend: {},
  GPT2Tokenizer: { bos: END, eos: END, unk: END },
  CodeGenTokenizer: { bos: END, eos: END, unk: END },
  GPTNeoXTokenizer: { bos: END, eos: END, unk: END, pad: '<|padding|>' },
  LlamaTokenizer: { bos: '<s>', eos: '</s>', unk: '<unk>' },
  CodeLlamaTokenizer: { bos: '<s>', eos: '</s>', unk: '<unk>' },
  GemmaTokenizer: { bos: '<bos>', eos: '<eos>', unk: '<unk>', pad: '<pad>', mask: '<mask>' },
  Qwen2Tokenizer: { eos: END, unk: END, pad: END },
  Qwen3_5Tokenizer: { eos: END, unk: END, pad: END },
  CohereTokenizer: {
    bos: '<BOS_TOKEN>',
    eos: '<|END_OF_TURN_TOKEN|>',
    unk: '<UNK>',
    pad: '<PAD>',
    cls: '<CLS>',
    sep: '<SEP>',
    mask: '<MASK_TOKEN>',
  },
};

const CODE_LLAMA_EXTRAS = ['▁<PRE>', '▁<MID>', '▁<SUF>', '▁<EOT>', '<FILL_ME>'];

/** The token that a class has where the files name none. */
export const classDefault = (name: LibraryClass, token: TokenName): string | null =>
  DEFAULTS[name][token] ?? null;

/** The tokens that the files name, by their role. */
export function namedTokens(companions: Companions): ReadonlyMap<TokenName, NamedToken> {
  const found = new Map<TokenName, NamedToken>();
  const { tokenizerConfig, specialTokensMap } = companions;
  const take = (
    json: Readonly<Record<string, unknown>> | null,
    file: string,
    special: boolean,
    over: boolean,
  ): void => {
    for (const name of NAMES) {
      const value = json?.[`${name}_token`];
      if (value === undefined || (!over && found.has(name))) continue;
      found.set(name, { token: readToken(value, special), source: file });
    }
  };
  take(tokenizerConfig, 'tokenizer_config.json', false, true);
  // The library reads special_tokens_map.json only where tokenizer_config.json has no added_tokens_decoder, and then it wins.
  const legacy = !isRecord(tokenizerConfig?.['added_tokens_decoder']);
  take(specialTokensMap, 'special_tokens_map.json', true, legacy);
  return found;
}

/** `special`: the library's default for a token written as an object without that key. */
function readToken(value: unknown, special: boolean): Unnumbered | null {
  if (typeof value === 'string') {
    return value === '' ? null : { ...PLAIN, content: value, normalized: false, special: true };
  }
  if (!isRecord(value) || typeof value['content'] !== 'string' || value['content'] === '') return null;
  const isSpecial = special || value['special'] === true;
  return {
    content: value['content'],
    single_word: value['single_word'] === true,
    lstrip: value['lstrip'] === true,
    rstrip: value['rstrip'] === true,
    normalized: typeof value['normalized'] === 'boolean' ? value['normalized'] : !isSpecial,
    special: isSpecial,
  };
}

const PLAIN = { single_word: false, lstrip: false, rstrip: false } as const;

/**
 * The added tokens that the library ends up with: those of tokenizer.json (which a class that builds its own pipeline
 * takes only where tokenizer_config.json has no `added_tokens_decoder`), then that of the other files, then the named
 * ones. A token that is there already gets the flags of the later file; a new one gets the next free id.
 *
 * Tokens that only a class's defaults name and that tokenizer.json does not hold are left out, for the library gives them ids
 * beyond the model's; so are a BOS and an EOS that are but named.
 * @throws TokensieveError fatal `bad-tokenizer` where a file gives a token another id than the library does
 */
export function addedTokensAsLoaded(
  { path, model, addedTokens }: Pick<Definition, 'path' | 'model' | 'addedTokens'>,
  companions: Companions,
  name: LibraryClass,
): readonly AddedToken[] {
  const added = new Map<string, AddedToken>();
  let next = model.vocab.size;
  const add = (token: Unnumbered, from: { readonly file: string; readonly id: number } | null): void => {
    const id = added.get(token.content)?.id ?? model.vocab.get(token.content) ?? next;
    if (from !== null && from.id !== id) {
      throw fatalError(
        'bad-tokenizer',
        `${join(companions.folder, from.file)}: gives the token ${JSON.stringify(token.content)} the id ${from.id}, but the reference library gives it ${id} (by ${path}); the files belong to different tokenizers`,
      );
    }
    next = Math.max(next, id + 1);
    added.set(token.content, { ...token, id });
  };
  const keeps = name === 'TokenizersBackend';
  if (keeps) for (const token of addedTokens) add(token, null);
  const named = namedTokens(companions);
  const specials = new Set(
    NAMES.map((role) => (named.has(role) ? named.get(role)?.token?.content : DEFAULTS[name][role])),
  );
  const { file, tokens } = decoderTokens(companions, addedTokens);
  for (const { id, ...token } of [...tokens].sort((a, b) => a.id - b.id)) {
    add({ ...token, special: token.special || specials.has(token.content) }, { file, id });
  }
  const ghosts = new Set<string>();
  const known = (content: string): boolean => added.has(content);
  for (const role of NAMES) {
    const own = named.has(role) ? named.get(role)?.token : defaultToken(DEFAULTS[name][role]);
    if (own == null || known(own.content)) continue;
    const mark = role === 'bos' || role === 'eos';
    if ((mark || !named.has(role)) && !model.vocab.has(own.content)) ghosts.add(own.content);
    add({ ...own, special: true }, null);
  }
  for (const token of extraTokens(companions, name)) {
    if (known(token.content)) continue;
    if (name === 'CodeLlamaTokenizer' && !model.vocab.has(token.content)) ghosts.add(token.content);
    add(token, null);
  }
  if (name === 'Qwen2Tokenizer') {
    // Its __init__ adds every named token once more, with the flags that a bare string has.
    for (const content of [...specials, ...extraTokens(companions, name).map((extra) => extra.content)]) {
      const token = content == null ? undefined : added.get(content);
      if (token !== undefined)
        added.set(token.content, { ...token, ...PLAIN, normalized: false, special: true });
    }
  }
  return [...added.values()].filter(({ content }) => !ghosts.has(content));
}

const defaultToken = (content: string | undefined): Unnumbered | null =>
  content === undefined ? null : { ...PLAIN, content, normalized: false, special: true };

/** `added_tokens_decoder` of tokenizer_config.json; without it added_tokens.json and tokenizer.json's own, the latter first. */
function decoderTokens(
  { tokenizerConfig, addedTokens: legacy }: Companions,
  own: readonly AddedToken[],
): { readonly file: string; readonly tokens: readonly AddedToken[] } {
  const decoder = tokenizerConfig?.['added_tokens_decoder'];
  if (isRecord(decoder)) {
    const tokens = Object.entries(decoder).flatMap(([id, value]) => {
      const token = readToken(value, false);
      return token === null || !/^\d{1,9}$/.test(id) ? [] : [{ ...token, id: Number(id) }];
    });
    return { file: 'tokenizer_config.json', tokens };
  }
  const byId = new Map<number, AddedToken>();
  for (const [content, id] of Object.entries(legacy ?? {})) {
    if (typeof id !== 'number' || !Number.isInteger(id) || content === '') continue;
    byId.set(id, { ...PLAIN, content, id, normalized: true, special: false });
  }
  for (const token of own) byId.set(token.id, token);
  return { file: 'added_tokens.json', tokens: [...byId.values()] };
}

/** `additional_special_tokens`, `extra_special_tokens` and `image_token` and the like. */
function extraTokens({ tokenizerConfig, specialTokensMap }: Companions, name: LibraryClass): Unnumbered[] {
  const legacy = !isRecord(tokenizerConfig?.['added_tokens_decoder']);
  const files = legacy ? [tokenizerConfig, specialTokensMap] : [tokenizerConfig];
  const standard = new Set<string>(NAMES.map((role) => `${role}_token`));
  const found: Unnumbered[] = [];
  for (const json of files) {
    for (const [key, value] of Object.entries(json ?? {})) {
      if (key.endsWith('_token') && !standard.has(key) && (typeof value === 'string' || isRecord(value))) {
        const token = readToken(value, true);
        if (token !== null) found.push(token);
      }
    }
  }
  for (const json of files) {
    for (const key of ['extra_special_tokens', 'additional_special_tokens'] as const) {
      const list = json?.[key];
      for (const value of Array.isArray(list) ? list : isRecord(list) ? Object.values(list) : []) {
        const token = readToken(value, true);
        if (token !== null) found.push({ ...token, special: true });
      }
    }
  }
  if (name === 'CodeLlamaTokenizer')
    for (const content of CODE_LLAMA_EXTRAS)
      found.push({ ...PLAIN, content, normalized: false, special: true });
  return found;
}
