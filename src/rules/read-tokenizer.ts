/** What a tokenizer's folder says of BOS, EOS and the settings that older rules did not read. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ControlTokens } from '../tokenizer/control-tokens.js';
import { identifyTokenizer } from '../tokenizer/open.js';
import type { Config, Known, Source, TokenizerFacts } from './facts.js';
import { hashBefore } from './hash-before.js';
import { isObject, listOf, readObject } from './read-json.js';

type Role = 'bos' | 'eos';

/** Files beside tokenizer.json, the surer first. */
const COMPANIONS = [
  'tokenizer_config.json',
  'special_tokens_map.json',
  'generation_config.json',
  'config.json',
] as const;

interface Files {
  readonly tokenizer: Config;
  readonly companions: readonly (readonly [name: string, json: Config])[];
  readonly addedTokens: readonly Config[];
  idOf(content: unknown): number | null;
}

/** What of a run's settings decides a tokenizer's hash. */
export interface HashSettings {
  readonly controlTokens: ControlTokens;
  readonly bos: boolean | undefined;
  readonly eos: boolean | undefined;
}

const USUAL: HashSettings = { controlTokens: 'text', bos: undefined, eos: undefined };

/** @param path a tokenizer.json, or the folder that holds one */
export async function readTokenizerFacts(
  path: string | null,
  { controlTokens, ...marks }: HashSettings = USUAL,
): Promise<Known<TokenizerFacts>> {
  if (path === null) return { missing: 'nothing says where the tokenizer was' };
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, 'tokenizer.json') : path;
  const tokenizer = await readObject(file);
  if (tokenizer === null) return { missing: `${path} holds no tokenizer.json any more` };
  const companions: [string, Config][] = [];
  for (const name of COMPANIONS) {
    const json = await readObject(join(dirname(file), name));
    if (json !== null) companions.push([name, json]);
  }
  const addedTokens = listOf(tokenizer['added_tokens']).filter(isObject);
  const vocab = isObject(tokenizer['model']) ? tokenizer['model']['vocab'] : null;
  const files: Files = {
    tokenizer,
    companions,
    addedTokens,
    idOf(content) {
      const added = addedTokens.find((token) => token['content'] === content)?.['id'];
      const own = isObject(vocab) && typeof content === 'string' && Object.hasOwn(vocab, content);
      const id = added ?? (own ? vocab[content] : null);
      return typeof id === 'number' ? id : null;
    },
  };
  const [bos, eos] = [before(files, 'bos'), before(files, 'eos')];
  // One id for both was a mark between documents: EOS alone.
  const inserted = { bos: bos?.id === eos?.id ? null : bos, eos };
  const ids = { bosId: inserted.bos?.id ?? null, eosId: eos?.id ?? null };
  return {
    hashes: {
      before: await hashBefore(file, ids, controlTokens).catch(() => null),
      now: await identifyTokenizer(file, controlTokens, marks).then(
        ({ hash }) => hash,
        () => null,
      ),
    },
    before: inserted,
    now: { bos: bosNow(files), eos: eosNow(files) },
    prefixSpace: prefixSpace(files),
    otherAddedTokens: otherAddedTokens(files),
  };
}

const KNOWN_NAMES = {
  bos: ['<|begin_of_text|>', '<s>', '<bos>', '<|bos|>', '[BOS]', '<|startoftext|>'],
  eos: ['<|end_of_text|>', '<|endoftext|>', '</s>', '<eos>', '<|eos|>', '[EOS]'],
} as const;

/** The rule of version 1: whatever file names a token or an id first, else a well-known name, else the template. */
function before(files: Files, role: Role): Source | null {
  for (const [name, json] of files.companions) {
    const token = json[`${role}_token`];
    if (token === null) return null;
    const id = files.idOf(contentOf(token)) ?? firstId(json[`${role}_token_id`]);
    if (id !== null) return { id, from: name };
  }
  for (const content of KNOWN_NAMES[role]) {
    const id = files.addedTokens.find((token) => token['content'] === content)?.['id'];
    if (typeof id === 'number') return { id, from: `the name ${content}` };
  }
  return fromTemplate(files, role);
}

/** Today's rule for BOS: the tokenizer's own encoding adds it, and nothing else does. */
const bosNow = (files: Files): Source | null => fromTemplate(files, 'bos');

/**
 * Today's rule for EOS: its encoding adds it, or a file declares it. An id that only a model's configuration names counts
 * where no tokenizer_config.json speaks, and of special tokens alone.
 */
function eosNow(files: Files): Source | null {
  const added = fromTemplate(files, 'eos');
  if (added !== null) return added;
  const [config, map] = [
    companion(files, 'tokenizer_config.json'),
    companion(files, 'special_tokens_map.json'),
  ];
  // The library reads the map only where the other has no added_tokens_decoder, and then it wins.
  const mapFirst = map?.['eos_token'] !== undefined && !isObject(config?.['added_tokens_decoder']);
  const from = mapFirst ? 'special_tokens_map.json' : 'tokenizer_config.json';
  const declared = mapFirst ? map?.['eos_token'] : (config?.['eos_token'] ?? map?.['eos_token']);
  const id = files.idOf(contentOf(declared));
  if (declared !== undefined) return id === null ? null : { id, from };
  if (config !== null) return null;
  for (const name of ['generation_config.json', 'config.json']) {
    const named = firstId(companion(files, name)?.['eos_token_id']);
    const special = files.addedTokens.some((token) => token['id'] === named && token['special'] === true);
    if (named !== null && special) return { id: named, from: name };
  }
  return null;
}

const companion = ({ companions }: Files, name: string): Config | null =>
  companions.find(([file]) => file === name)?.[1] ?? null;

const contentOf = (token: unknown): unknown => (isObject(token) ? token['content'] : token);

function firstId(value: unknown): number | null {
  const id: unknown = Array.isArray(value) ? value[0] : value;
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 ? id : null;
}

/** The special token that the post-processor puts before or after a text. */
function fromTemplate(files: Files, role: Role): Source | null {
  const from = 'post_processor of tokenizer.json';
  const processor = files.tokenizer['post_processor'];
  const all = isObject(processor) ? (processor['processors'] ?? [processor]) : [];
  for (const one of listOf(all).filter(isObject)) {
    const single = listOf(one['single']);
    const edge = role === 'bos' ? single[0] : single.at(-1);
    const token = isObject(edge) ? edge['SpecialToken'] : null;
    const id = isObject(token) ? files.idOf(token['id']) : null;
    if (id !== null) return { id, from };
    // Of RoBERTa and BERT: a pair of content and id.
    const pair = listOf(one[role === 'bos' ? 'cls' : 'sep'])[1];
    if (typeof pair === 'number') return { id: pair, from };
  }
  return null;
}

function prefixSpace(files: Files): TokenizerFacts['prefixSpace'] {
  const given = companion(files, 'tokenizer_config.json')?.['add_prefix_space'];
  const pre = files.tokenizer['pre_tokenizer'];
  const steps = isObject(pre) ? listOf(pre['pretokenizers'] ?? [pre]) : [];
  const byteLevel = steps.filter(isObject).find(({ type }) => type === 'ByteLevel');
  return {
    file: byteLevel === undefined ? null : byteLevel['add_prefix_space'] !== false,
    config: typeof given === 'boolean' ? given : null,
  };
}

const FLAGS = ['single_word', 'lstrip', 'rstrip', 'special'] as const;

function otherAddedTokens(files: Files): readonly string[] {
  const decoder = companion(files, 'tokenizer_config.json')?.['added_tokens_decoder'];
  if (!isObject(decoder)) return [];
  return Object.entries(decoder).flatMap(([id, token]) => {
    const content = contentOf(token);
    if (!isObject(token) || typeof content !== 'string') return [];
    const own = files.addedTokens.find((one) => one['content'] === content);
    const same =
      own?.['id'] === Number(id) && FLAGS.every((flag) => (own[flag] ?? false) === (token[flag] ?? false));
    return same ? [] : [content];
  });
}
