import { describe, expect, it } from 'vitest';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { byteFallback, byteLevel, readJson, writeFolder } from './support.js';

const llama = readJson(byteFallback);
const gpt2 = readJson(byteLevel);

const boundaries = async (
  files: Readonly<Record<string, unknown>>,
  overrides: object = {},
): Promise<(number | null)[]> => {
  const { bosId, eosId } = await openTokenizer({ path: writeFolder(files), engine: 'native', ...overrides });
  return [bosId, eosId];
};

describe('BOS and EOS', () => {
  it('come from tokenizer_config.json, as strings or objects, before all else', async () => {
    const config = { bos_token: '</s>', eos_token: { content: '<s>', lstrip: false } };
    const other = { bos_token: '<s>', eos_token: '</s>' };
    expect(
      await boundaries({
        'tokenizer.json': llama,
        'tokenizer_config.json': config,
        'special_tokens_map.json': other,
      }),
    ).toEqual([2, 1]);
  });

  it('are none where a file says null', async () => {
    const files = {
      'tokenizer.json': llama,
      'tokenizer_config.json': { bos_token: null },
      'config.json': { bos_token_id: 1 },
    };
    expect(await boundaries(files)).toEqual([null, 2]);
  });

  it('come from special_tokens_map.json next', async () => {
    const files = { 'tokenizer.json': llama, 'special_tokens_map.json': { eos_token: { content: '<s>' } } };
    expect((await boundaries(files))[1]).toBe(1);
  });

  it('come from config.json’s ids next, the first of several', async () => {
    const files = { 'tokenizer.json': llama, 'config.json': { bos_token_id: 2, eos_token_id: [1, 2] } };
    expect(await boundaries(files)).toEqual([2, 1]);
  });

  it('come from well-known names next', async () => {
    expect(await boundaries({ 'tokenizer.json': llama })).toEqual([1, 2]);
  });

  it('come from the post-processor’s template last', async () => {
    const renamed = JSON.parse(
      JSON.stringify(llama).replaceAll('"<s>"', '"<<start>>"').replaceAll('"</s>"', '"<<stop>>"'),
    );
    renamed.model.merges = renamed.model.merges.filter(
      (merge: string[]) => renamed.model.vocab[merge.join('')] !== undefined,
    );
    expect(await boundaries({ 'tokenizer.json': renamed })).toEqual([null, null]);
    renamed.post_processor = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<<start>>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: {},
    };
    expect(await boundaries({ 'tokenizer.json': renamed })).toEqual([1, null]);
  });

  it('are one EOS where one token is both (GPT-2)', async () => {
    const config = { bos_token: '<|endoftext|>', eos_token: '<|endoftext|>' };
    const files = { 'tokenizer.json': gpt2, 'tokenizer_config.json': config };
    expect(await boundaries(files)).toEqual([null, 0]);
    expect(await boundaries(files, { bos: '<|endoftext|>' })).toEqual([0, 0]);
  });

  it('can be set by content or id, or to none', async () => {
    expect(await boundaries({ 'tokenizer.json': llama }, { bos: null, eos: 1 })).toEqual([null, 1]);
    expect(await boundaries({ 'tokenizer.json': llama }, { eos: '<s>' })).toEqual(
      [1, 1].map((id, i) => (i === 0 ? null : id)),
    );
  });

  it('are refused when they name no token', async () => {
    await expect(boundaries({ 'tokenizer.json': llama }, { eos: '<|nope|>' })).rejects.toMatchObject({
      reach: 'usage',
      code: 'unknown-token',
    });
    await expect(boundaries({ 'tokenizer.json': llama }, { eos: 10_000 })).rejects.toMatchObject({
      code: 'unknown-token',
    });
    const strange = { 'tokenizer.json': llama, 'tokenizer_config.json': { eos_token: '<|other model|>' } };
    await expect(boundaries(strange)).rejects.toMatchObject({
      code: 'bad-tokenizer',
      message: expect.stringContaining('different tokenizers'),
    });
  });

  it('cannot be spelled out even where only config.json names them', async () => {
    const json = readJson(byteFallback);
    json.added_tokens = [];
    const tokenizer = await openTokenizer({
      path: writeFolder({ 'tokenizer.json': json, 'config.json': { eos_token_id: 2 } }),
    });
    expect([...(await tokenizer.encode(['</s>']))[0]!.ids]).not.toContain(2);
  });
});
