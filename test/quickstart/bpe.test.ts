import { mkdtemp, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tokenizer as PortableTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createEncoder } from '../../fixtures/bpe/encode.mjs';
import { pretokens } from '../../fixtures/bpe/pretokens.mjs';
import { bosToken, eosToken, tokenizerJson, writeTokenizer } from '../../fixtures/bpe/tokenizer-files.mjs';
import { trainBpe } from '../../fixtures/bpe/train.mjs';
import { rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';

const fixture = (name: string): Promise<string> =>
  readFile(new URL(`../../fixtures/bpe/${name}`, import.meta.url), 'utf8');
const sample = await fixture('sample.txt');
const golden = JSON.parse(await fixture('golden.json')) as {
  readonly size: number;
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
  readonly ids: readonly number[];
};
const specials = [bosToken, eosToken];

/** Texts that neither training saw: the quickstart's held-out pages, and odd corners of Unicode. */
const heldOut = shards
  .filter(({ path }) => path.startsWith('held-out'))
  .flatMap((shard) => rowsOf(shard, defaults.seed).slice(0, 40))
  .map(({ text }) => text);

describe('the trainer', () => {
  it('learns the vocabulary and merges of Hugging Face’s trainer', () => {
    const bpe = trainBpe([sample], { size: golden.size, specials });
    const merges = bpe.merges.map(([left, right]) => [bpe.tokens[left], bpe.tokens[right]]);
    expect(merges).toEqual(golden.merges);
    expect(bpe.tokens).toEqual(golden.tokens);
    expect(createEncoder(bpe)([...sample].slice(-1500).join(''))).toEqual(golden.ids);
  });

  it('reads a control token spelled out in a text as text', () => {
    const encode = createEncoder(trainBpe([sample], { size: 300, specials }));
    expect(Math.min(...encode(`a ${bosToken} b ${eosToken}`))).toBeGreaterThanOrEqual(specials.length);
  });

  it('stops when no pair occurs twice', () => {
    const bpe = trainBpe(['abab cd'], { size: 4096, specials });
    expect(bpe.tokens.slice(258)).toEqual(['ab']);
  });

  it('splits any text into pretokens that join to it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => pretokens(text).join('') === text),
    );
  });
});

describe('tokenizer.json', () => {
  const bpe = trainBpe([sample, ...heldOut.slice(0, 20)], { size: 1000, specials });
  const encode = createEncoder(bpe);
  const texts = [...heldOut, sample.slice(-1500)];
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokensieve-bpe-'));
    await writeTokenizer(folder, bpe);
  });

  it('gives the portable engine the ids of the plain encoder', async () => {
    const config = JSON.parse(await readFile(join(folder, 'tokenizer_config.json'), 'utf8'));
    const portable = new PortableTokenizer(tokenizerJson(bpe), config);
    for (const text of texts) {
      expect([...portable.encode(text, { add_special_tokens: false }).ids]).toEqual(encode(text));
    }
    expect(portable.encode(`${bosToken}${eosToken}`, { add_special_tokens: false }).ids).toEqual([0, 1]);
  });

  it('gives the native engine the ids of the plain encoder, and back the text', async () => {
    const { Tokenizer } = createRequire(import.meta.url)('tokenizers') as typeof import('tokenizers');
    const native = Tokenizer.fromFile(join(folder, 'tokenizer.json'));
    for (const text of texts) {
      const ids = encode(text);
      const encoding = await native.encode(text, null, { addSpecialTokens: false });
      expect(encoding.getIds()).toEqual(ids);
      expect(await native.decode(ids, false)).toBe(text);
    }
    expect(native.tokenToId(bosToken)).toBe(0);
    expect(native.tokenToId(eosToken)).toBe(1);
  });
});
