import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { recipeOf } from '#tokensieve/tokenizer/recipe.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';
import {
  byteFallback,
  byteLevel,
  nativeFor,
  preparedFrom,
  readJson,
  sharedTokenizers,
  writeFolder,
} from './support.js';

const paths = [
  byteLevel,
  byteFallback,
  ...(hasSharedData ? sharedTokenizers().map((path) => join(sharedData, path)) : []),
];

/** Texts that spell out control tokens, whole, nested, cut, and beside what might merge with them. */
function forgeries(contents: readonly string[]): string[] {
  return [
    contents.join(''),
    contents.join(' '),
    ...contents
      .slice(0, 40)
      .flatMap((token) => [
        token,
        ` ${token} `,
        `a${token}b`,
        token + token,
        `\n${token}\n`,
        `${token.slice(0, 2)}${token}${token.slice(2)}`,
        `▁${token}`,
        `<${token}>`,
      ]),
  ];
}

describe.each(paths)('a document cannot forge a boundary: %s', (path) => {
  it('gives no control id, from either engine', { timeout: 120_000 }, async () => {
    const { addedTokens } = (await preparedFrom(path, 'special')).definition;
    const prepared = await preparedFrom(path);
    expect(prepared.hidden.length).toBeGreaterThan(0);
    const controlIds = new Set(
      addedTokens.filter(({ content }) => prepared.hidden.includes(content)).map(({ id }) => id),
    );
    const native = await openTokenizer({ path, engine: 'native' });
    const portable = await openTokenizer({ path, engine: 'portable', workers: 1 });
    for (const id of [native.bosId, native.eosId]) if (id !== null) controlIds.add(id);

    const fragments = [
      ...new Set(
        prepared.hidden.slice(0, 30).flatMap((token) => [token, ...token.split(/(?<=[<|/[])|(?=[>|\]])/)]),
      ),
    ];
    const random = fc.sample(
      fc.array(fc.constantFrom(...fragments, ' ', '▁', '\n', 'x')).map((parts) => parts.join('')),
      {
        numRuns: 300,
        seed: 7,
      },
    );
    const texts = [...forgeries(prepared.hidden), ...random];
    for (const tokenizer of [native, portable]) {
      for (const { ids } of await tokenizer.encode(texts)) {
        expect([...ids].filter((id) => controlIds.has(id))).toEqual([]);
      }
    }
    await portable.close();
  });

  it('leaves no way to a control token in the model', async () => {
    const { definition, hidden } = await preparedFrom(path);
    const { model, addedTokens } = definition;
    const control = new Set(hidden);
    expect(addedTokens.filter(({ content }) => control.has(content))).toEqual([]);
    if (model.type !== 'BPE') throw new Error('not BPE');
    expect(
      model.merges.filter(
        ([left, right]) => control.has(left + right) || control.has(left) || control.has(right),
      ),
    ).toEqual([]);
    expect([...model.vocab.keys()].filter((piece) => control.has(piece) && piece !== model.unkToken)).toEqual(
      [],
    );
  });
});

describe('control tokens', () => {
  it('would be forged by the merges of the file as it is', async () => {
    const source = await preparedFrom(byteFallback, 'special');
    const library = await nativeFor({ ...source, definition: { ...source.definition, addedTokens: [] } });
    expect([...(await library.encode(['x</s>']))[0]!.ids]).toContain(2);
  });

  it('become their ids where the user wants it', async () => {
    for (const engine of ['native', 'portable'] as const) {
      const tokenizer = await openTokenizer({
        path: byteFallback,
        engine,
        workers: 1,
        controlTokens: 'special',
      });
      const [encoding] = await tokenizer.encode(['a<s>b</s>']);
      expect(
        [...encoding!.ids].filter((id) => id < 3),
        engine,
      ).toEqual([1, 2]);
      const { byteStart, byteEnd } = encoding!.offsets();
      const at = encoding!.ids.indexOf(1);
      expect([byteStart[at], byteEnd[at]]).toEqual([1, 4]);
      await tokenizer.close();
    }
  });

  it('are those that the library takes for special: marked, or named beside the file', async () => {
    const json = readJson(byteFallback);
    for (const token of json.added_tokens) token.special = false;
    const ids = async (files: object): Promise<number[]> => {
      const tokenizer = await openTokenizer({ path: writeFolder({ 'tokenizer.json': json, ...files }) });
      return [...(await tokenizer.encode(['x</s>']))[0]!.ids];
    };
    // An added token that is not special has an id of its own, as Gemma 3's <s> has, which is HTML's strike.
    expect(await ids({})).toContain(2);
    expect(await ids({ 'tokenizer_config.json': { eos_token: '</s>' } })).not.toContain(2);
    expect(await ids({ 'tokenizer_config.json': { pad_token: '</s>' } })).not.toContain(2);
  });

  it('that are an ordinary character stay one, but for BOS and EOS', async () => {
    const json = readJson(byteFallback);
    json.model.vocab.a ??= 262;
    const files = { 'tokenizer.json': json, 'tokenizer_config.json': { pad_token: 'a' } };
    const tokenizer = await openTokenizer({ path: writeFolder(files) });
    expect([...(await tokenizer.encode(['a']))[0]!.ids]).toEqual([json.model.vocab.a]);
    await expect(
      openTokenizer({ path: writeFolder({ ...files, 'tokenizer_config.json': { eos_token: 'a' } }) }),
    ).rejects.toMatchObject({
      code: 'unsupported-tokenizer',
      message: expect.stringMatching(/single character/),
    });
  });

  it('leave the ids of the added tokens after them alone', async () => {
    // The library alone numbers them anew: the trap behind Whisper's timestamps.
    const json = readJson(byteLevel);
    const late = json.added_tokens.find((token: { content: string }) => token.content === '<|late|>');
    const eight = json.added_tokens.find((token: { content: string }) => token.content === ' '.repeat(8));
    expect(eight.id).toBe(late.id + 1);
    for (const engine of ['native', 'portable'] as const) {
      const tokenizer = await openTokenizer({ path: byteLevel, engine, workers: 1 });
      expect([...(await tokenizer.encode([`a${' '.repeat(8)}b`]))[0]!.ids], engine).toContain(eight.id);
      await tokenizer.close();
    }
  });

  it('strip white space as the native library does', { timeout: 60_000 }, async () => {
    const json = readJson(byteFallback);
    json.added_tokens.push({
      ...json.added_tokens[2],
      id: 660,
      content: '<|both|>',
      lstrip: true,
      rstrip: true,
    });
    json.added_tokens.push({ ...json.added_tokens[2], id: 661, content: '<|right|>', rstrip: true });
    const path = writeFolder({ 'tokenizer.json': json });
    const texts = [
      'a <|both|> b',
      '<|both|>  <|both|>\u0085\u00a0x',
      ' <|right|>\t\ufeff y<|right|>',
      '<|right|> <|both|> z',
    ];
    const prepared = await preparedFrom(path, 'special');
    expect(recipeOf(prepared.definition)).toHaveProperty('recipe');
    const library = await (await nativeFor(prepared)).encode(texts);
    const portable = await openTokenizer({ path, engine: 'portable', workers: 1, controlTokens: 'special' });
    for (const [i, encoding] of (await portable.encode(texts)).entries()) {
      expect(encoding.ids, texts[i]!).toEqual(library[i]!.ids);
      expect(encoding.offsets(), texts[i]!).toEqual(library[i]!.offsets(texts[i]!));
    }
    await portable.close();
  });
});
