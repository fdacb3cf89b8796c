import { describe, expect, it } from 'vitest';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { byteFallback, byteLevel, readJson, writeFolder } from './support.js';

const llama = readJson(byteFallback);
const gpt2 = readJson(byteLevel);

const open = (files: Readonly<Record<string, unknown>>, overrides: object = {}) =>
  openTokenizer({ path: writeFolder(files), engine: 'native', ...overrides });

const boundaries = async (
  files: Readonly<Record<string, unknown>>,
  overrides: object = {},
): Promise<(number | null)[]> => {
  const { bosId, eosId } = await open(files, overrides);
  return [bosId, eosId];
};

const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const text = { Sequence: { id: 'A', type_id: 0 } };
const template = (...single: object[]) => ({
  type: 'TemplateProcessing',
  single,
  pair: [],
  special_tokens: Object.fromEntries([
    ['<s>', { id: '<s>', ids: [1], tokens: ['<s>'] }],
    ['</s>', { id: '</s>', ids: [2], tokens: ['</s>'] }],
  ]),
});
const silent = { ...llama, post_processor: null };
const withBos = { ...llama, post_processor: template(special('<s>'), text) };
const withBoth = { ...llama, post_processor: template(special('<s>'), text, special('</s>')) };
const declares = { tokenizer_class: 'PreTrainedTokenizerFast', bos_token: '<s>', eos_token: '</s>' };

describe("a folder's class", () => {
  it('heeds auto_map only where it names code of the tokenizer', async () => {
    const files = (auto_map: unknown) => ({
      'tokenizer.json': gpt2,
      'config.json': { model_type: 'llama' },
      'tokenizer_config.json': { tokenizer_class: 'LlamaTokenizerFast', auto_map },
    });
    for (const other of [{}, { AutoProcessor: 'processing.Own' }, { AutoTokenizer: null }]) {
      const { description } = await open(files(other));
      expect(description.class).toBe('TokenizersBackend');
    }
    await expect(open(files({ AutoTokenizer: ['own.Slow', null] }))).rejects.toThrow('no byte pieces');
  });
});

describe('fast_tokenizer_files', () => {
  const files = (...names: string[]) => ({
    'tokenizer.json': gpt2,
    'tokenizer_config.json': { fast_tokenizer_files: names },
  });
  it('is refused where it names a file that the library may read instead', async () => {
    await expect(open(files('tokenizer.json', 'tokenizer.4.0.0.json'))).rejects.toMatchObject({
      code: 'unsupported-tokenizer',
      message: expect.stringContaining('"tokenizer.4.0.0.json"'),
    });
    expect((await open(files('tokenizer.json'))).description.class).toBe('TokenizersBackend');
  });
});

describe('BOS', () => {
  it('goes before a document if and only if the encoding puts it there', async () => {
    expect(await boundaries({ 'tokenizer.json': withBos })).toEqual([1, null]);
    expect(await boundaries({ 'tokenizer.json': silent, 'tokenizer_config.json': declares })).toEqual([
      null,
      2,
    ]);
    for (const add_bos_token of [true, false]) {
      const config = { ...declares, add_bos_token };
      expect(await boundaries({ 'tokenizer.json': silent, 'tokenizer_config.json': config })).toEqual([
        null,
        2,
      ]);
      expect(await boundaries({ 'tokenizer.json': withBos, 'tokenizer_config.json': config })).toEqual([
        1, 2,
      ]);
    }
  });

  it('is none that only a configuration of the model names', async () => {
    for (const name of ['config.json', 'generation_config.json']) {
      expect(await boundaries({ 'tokenizer.json': silent, [name]: { bos_token_id: 1 } })).toEqual([
        null,
        null,
      ]);
    }
  });

  it('is refused where the encoding puts more than one token before a text', async () => {
    const files = {
      'tokenizer.json': { ...llama, post_processor: template(special('<s>'), special('</s>'), text) },
    };
    await expect(boundaries(files)).rejects.toMatchObject({
      code: 'unsupported-tokenizer',
      message: expect.stringContaining('2 tokens (1, 2) before a text'),
    });
    expect(await boundaries(files, { bos: false })).toEqual([null, null]);
  });
});

describe('EOS', () => {
  it('goes after a document where a file of the tokenizer names it, old or new, once', async () => {
    const named = [
      { 'tokenizer_config.json': { eos_token: '</s>' } },
      { 'tokenizer_config.json': { eos_token: { __type: 'AddedToken', content: '</s>', lstrip: false } } },
      { 'special_tokens_map.json': { eos_token: '</s>' } },
      { 'special_tokens_map.json': { eos_token: { content: '</s>', lstrip: false } } },
      { 'tokenizer_config.json': {}, 'special_tokens_map.json': { eos_token: '</s>' } },
    ];
    for (const files of named) {
      expect(await boundaries({ 'tokenizer.json': silent, ...files })).toEqual([null, 2]);
      expect(await boundaries({ 'tokenizer.json': withBoth, ...files })).toEqual([1, 2]);
    }
    expect(await boundaries({ 'tokenizer.json': withBoth })).toEqual([1, 2]);
  });

  it('is none where none is declared, and the reason says so', async () => {
    const config = { 'config.json': { eos_token_id: 2, bos_token_id: 1 } };
    const { eosId, eosSource } = await open({
      'tokenizer.json': silent,
      'tokenizer_config.json': {},
      ...config,
    });
    expect([eosId, eosSource]).toEqual([null, "the tokenizer's files name no eos_token"]);
    expect(await boundaries({ 'tokenizer.json': silent })).toEqual([null, null]);
    const none = { 'tokenizer_config.json': { eos_token: null }, ...config };
    expect(await boundaries({ 'tokenizer.json': silent, ...none })).toEqual([null, null]);
  });

  it('is config.json’s only where there is no tokenizer_config.json and the id is a special token', async () => {
    const named = (id: number) => ({ 'tokenizer.json': silent, 'config.json': { eos_token_id: [id, 1] } });
    expect(await boundaries(named(2))).toEqual([null, 2]);
    // An ordinary piece, as the defaults of a configuration name one: no boundary, and text as before.
    const word = llama.model.vocab['▁'];
    expect(await boundaries(named(word))).toEqual([null, null]);
    const [encoding] = await (await open(named(word))).encode(['a b']);
    const [as] = await (await open({ 'tokenizer.json': silent })).encode(['a b']);
    expect(encoding!.ids).toEqual(as!.ids);
    expect(await boundaries({ ...named(2), 'tokenizer_config.json': {} })).toEqual([null, null]);
  });

  it('alone stands between documents where one token is both (GPT-2)', async () => {
    const config = { bos_token: '<|endoftext|>', eos_token: '<|endoftext|>' };
    const files = { 'tokenizer.json': gpt2, 'tokenizer_config.json': config };
    expect(await boundaries(files)).toEqual([null, 0]);
    expect(await boundaries(files, { bos: '<|endoftext|>' })).toEqual([0, 0]);
  });

  it('cannot be spelled out even where only config.json names it', async () => {
    const tokenizer = await open({ 'tokenizer.json': llama, 'config.json': { eos_token_id: 2 } });
    expect(tokenizer.eosId).toBe(2);
    expect([...(await tokenizer.encode(['</s>']))[0]!.ids]).not.toContain(2);
  });
});

describe('overrides', () => {
  it('win: content, id, none, or the token that the files name', async () => {
    const files = { 'tokenizer.json': silent, 'tokenizer_config.json': declares };
    expect(await boundaries(files, { bos: null, eos: 1 })).toEqual([null, 1]);
    expect(await boundaries(files, { bos: true, eos: false })).toEqual([1, null]);
    expect(await boundaries({ 'tokenizer.json': withBos }, { bos: false, eos: '<s>' })).toEqual([null, 1]);
    const config = { 'tokenizer_config.json': {}, 'config.json': { bos_token_id: 1, eos_token_id: 2 } };
    expect(await boundaries({ 'tokenizer.json': silent, ...config }, { bos: true, eos: true })).toEqual([
      1, 2,
    ]);
  });

  it('are refused when they name no token', async () => {
    for (const eos of ['<|nope|>', 10_000, true]) {
      await expect(boundaries({ 'tokenizer.json': silent }, { eos })).rejects.toMatchObject({
        reach: 'usage',
        code: 'unknown-token',
      });
    }
    const strange = { 'tokenizer.json': llama, 'tokenizer_config.json': { eos_token: '<|other model|>' } };
    await expect(boundaries(strange)).rejects.toMatchObject({
      code: 'bad-tokenizer',
      message: expect.stringContaining('--no-eos leaves it out'),
    });
    expect(await boundaries(strange, { eos: false })).toEqual([null, null]);
  });
});

describe('requests', () => {
  it('have what the encoding puts around a text, and follow BOS or else EOS', async () => {
    const requests = async (files: Readonly<Record<string, unknown>>, bos?: boolean) =>
      (await open(files, { bos })).requests;
    const both = { 'tokenizer.json': withBoth, 'tokenizer_config.json': declares };
    expect(await requests(both)).toEqual({ before: [1], after: [2], prefixId: 1 });
    expect(await requests(both, false)).toEqual({ before: [], after: [], prefixId: 1 });
    const only = { 'tokenizer.json': silent, 'tokenizer_config.json': { eos_token: '</s>' } };
    expect(await requests(only)).toEqual({ before: [], after: [], prefixId: 2 });
    const gpt = { 'tokenizer.json': gpt2, 'tokenizer_config.json': { tokenizer_class: 'GPT2Tokenizer' } };
    expect((await requests(gpt)).prefixId).toBe(0);
  });
});
