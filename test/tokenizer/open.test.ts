import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { openPool } from '#tokensieve/tokenizer/portable.js';
import { recipeOf } from '#tokensieve/tokenizer/recipe.js';
import {
  byteFallback,
  byteLevel,
  NASTY_TEXTS,
  nativeFor,
  preparedFrom,
  readJson,
  writeFolder,
} from './support.js';

const openModule = new URL('../../dist/tokenizer/open.js', import.meta.url).href;

/** Runs a module in a process of its own, the native package hidden from it on request. */
function runModule(body: string, hideNative = false) {
  const hook = `export async function resolve(name, context, next) {
    if (name === 'tokenizers') throw new Error('no binary for this machine');
    return next(name, context);
  }`;
  const hide = `import { register } from 'node:module'; register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));`;
  const script = `${hideNative ? hide : ''} const { openTokenizer } = await import(${JSON.stringify(openModule)}); ${body}`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 50_000,
  });
}

describe('engines', () => {
  it('are native by default, portable where the native package does not load', () => {
    const body = `const t = await openTokenizer({ path: ${JSON.stringify(byteLevel)} });
      console.log(t.engine, (await t.encode(['some text']))[0].ids.length); await t.close();`;
    expect(runModule(body).stdout).toMatch(/^native \d+\n$/);
    expect(runModule(body, true).stdout).toMatch(/^portable \d+\n$/);
  });

  it('say why the native one does not load when it was asked for', () => {
    const body = `await openTokenizer({ path: ${JSON.stringify(byteLevel)}, engine: 'native' }).catch((e) => console.log(e.code, e.reach, e.message));`;
    expect(runModule(body, true).stdout).toMatch(/^no-native-tokenizer usage .*no binary for this machine/);
  });

  it('are not mixed up: what the portable one cannot do exactly is refused, or left to the native one', async () => {
    const json = readJson(byteLevel);
    json.normalizer = { type: 'Sequence', normalizers: [{ type: 'Lowercase' }, { type: 'NFKC' }] };
    const path = writeFolder({ 'tokenizer.json': json });
    await expect(openTokenizer({ path, engine: 'portable' })).rejects.toMatchObject({
      code: 'no-portable-tokenizer',
      message: expect.stringContaining('Lowercase'),
    });
    const body = `await openTokenizer({ path: ${JSON.stringify(path)} }).catch((e) => console.log(e.code, e.message));`;
    expect(runModule(body, true).stdout).toMatch(/^no-portable-tokenizer .*no binary for this machine/);
    const native = await openTokenizer({ path });
    expect(native.description.portableRefusal).toContain('Lowercase');
    // Offsets are then the library's own, from code points to bytes: "ﬁ" gives two letters that share its range.
    const text = '日本 ÀﬁX 𝒜b';
    const [encoding] = await native.encode([text]);
    const { byteStart, byteEnd } = encoding!.offsets();
    const [library] = await (await nativeFor(await preparedFrom(path))).encode([text]);
    expect([byteStart, byteEnd]).toEqual(Object.values(library!.offsets(text)));
    const bytes = Buffer.from(text);
    expect(byteEnd.at(-1)).toBe(bytes.length);
    for (const [i, start] of byteStart.entries()) {
      expect(
        Buffer.from(bytes.subarray(start, byteEnd[i]).toString('utf8')).equals(
          bytes.subarray(start, byteEnd[i]),
        ),
      ).toBe(true);
    }
  });

  it.each([
    ['WhitespaceSplit', { pre_tokenizer: { type: 'WhitespaceSplit' } }],
    [
      'MergedWithNext',
      {
        pre_tokenizer: { type: 'Split', pattern: { Regex: 'a' }, behavior: 'MergedWithNext', invert: false },
      },
    ],
    ['unknown token', { pre_tokenizer: null, model: { ...readJson(byteLevel).model, unk_token: 'a' } }],
  ])('leave to the native one: %s', async (name, change) => {
    const json = { ...readJson(byteLevel), ...change };
    json.model = { ...json.model, unk_token: 'a' };
    const { definition } = await preparedFrom(writeFolder({ 'tokenizer.json': json }));
    expect(recipeOf(definition)).toMatchObject({ refusal: expect.stringContaining(name) });
  });

  const metaspace = (prepend_scheme: string, split: boolean) => ({
    type: 'Metaspace',
    replacement: '▁',
    prepend_scheme,
    split,
  });
  it.each([
    ['always', metaspace('always', true)],
    ['first', metaspace('first', false)],
    ['never', metaspace('never', true)],
  ])('agree on newer Llama files: Metaspace, %s', async (_, pre_tokenizer) => {
    const json = { ...readJson(byteFallback), normalizer: null, pre_tokenizer };
    json.added_tokens.push({
      id: 660,
      content: '[[x]]',
      special: false,
      normalized: false,
      lstrip: false,
      rstrip: false,
      single_word: false,
    });
    const path = writeFolder({ 'tokenizer.json': json });
    const texts = [...NASTY_TEXTS, '[[x]]a [[x]] b', 'a[[x]]▁c', ' lead[[x]][[x]]', '▁x ▁'];
    const library = await (await nativeFor(await preparedFrom(path))).encode(texts);
    const portable = await openTokenizer({ path, engine: 'portable', workers: 1 });
    for (const [i, encoding] of (await portable.encode(texts)).entries()) {
      expect(encoding.ids, texts[i]!).toEqual(library[i]!.ids);
      expect(encoding.offsets(), texts[i]!).toEqual(library[i]!.offsets(texts[i]!));
    }
    await portable.close();
  });

  it('agree on a byte-level file that adds a space before', async () => {
    const json = readJson(byteLevel);
    json.pre_tokenizer.add_prefix_space = true;
    const path = writeFolder({ 'tokenizer.json': json });
    const library = await (await nativeFor(await preparedFrom(path))).encode(NASTY_TEXTS);
    const portable = await openTokenizer({ path, engine: 'portable', workers: 1 });
    for (const [i, encoding] of (await portable.encode(NASTY_TEXTS)).entries()) {
      const text = NASTY_TEXTS[i]!;
      expect(encoding.ids, text).toEqual(library[i]!.ids);
      if (text.normalize('NFC') === text) expect(encoding.offsets(), text).toEqual(library[i]!.offsets(text));
    }
    await portable.close();
  });
});

describe('U+FEFF', () => {
  it('survives at both ends of a text, and its bytes are covered', async () => {
    for (const engine of ['native', 'portable'] as const) {
      const tokenizer = await openTokenizer({ path: byteLevel, engine, workers: 1 });
      const [bare, marked] = await tokenizer.encode(['x', '\ufeffx\ufeff']);
      expect(marked!.ids.length).toBeGreaterThan(bare!.ids.length);
      const { byteStart, byteEnd } = marked!.offsets();
      expect([byteStart[0], byteEnd[0], byteStart.at(-1), byteEnd.at(-1)], engine).toEqual([0, 3, 4, 7]);
      await tokenizer.close();
    }
  });
});

describe('the pool', () => {
  const texts = Array.from(
    { length: 400 },
    (_, i) => `document ${i} ${'and more of it '.repeat((i * 7919) % 400)}`,
  );

  it('keeps order for any number of threads, and over calls that overlap', async () => {
    const native = await openTokenizer({ path: byteFallback, engine: 'native' });
    const expected = (await native.encode(texts)).map(({ ids }) => ids);
    for (const workers of [1, 3]) {
      const pool = await openTokenizer({ path: byteFallback, engine: 'portable', workers });
      const [all, ...rest] = await Promise.all([
        pool.encode(texts),
        ...texts.slice(0, 20).map((text) => pool.encode([text])),
        pool.encode([]),
      ]);
      expect(all!.map(({ ids }) => ids)).toEqual(expected);
      expect(rest.slice(0, 20).map(([encoding]) => encoding!.ids)).toEqual(expected.slice(0, 20));
      expect(rest[20]).toEqual([]);
      await pool.close();
      await expect(pool.encode(['late'])).rejects.toMatchObject({ code: 'tokenizer-closed' });
    }
    await native.close();
    await expect(native.encode(['late'])).rejects.toMatchObject({ code: 'tokenizer-closed' });
  });

  it('rejects what is under way when it is closed', async () => {
    const pool = await openTokenizer({ path: byteFallback, engine: 'portable', workers: 2 });
    const under = pool.encode(texts);
    const outcome = expect(under).rejects.toMatchObject({ code: 'tokenizer-closed' });
    await pool.close();
    await outcome;
  });

  it('reports a thread that dies', async () => {
    const { definition } = await preparedFrom(byteLevel);
    const found = recipeOf(definition);
    if (!('recipe' in found)) throw new Error(found.refusal);
    if (definition.model.type !== 'BPE') throw new Error('not BPE');
    const recipe = { ...found.recipe, words: ['[z-a]'] };
    const pool = openPool({ model: definition.model, recipe }, 'broken.json', 2);
    await expect(pool.encode(texts)).rejects.toMatchObject({
      code: 'tokenizer-failed',
      message: expect.stringMatching(/^broken\.json: .*range/i),
    });
    await expect(pool.encode(['again'])).rejects.toMatchObject({ code: 'tokenizer-failed' });
    await pool.close();
  });

  it('does not keep a process alive', () => {
    const body = `const t = await openTokenizer({ path: ${JSON.stringify(byteLevel)}, engine: 'portable', workers: 2 });
      console.log((await t.encode(['some text', 'more']))[1].ids.length);`;
    const { status, stdout, signal } = runModule(body);
    expect([status, signal]).toEqual([0, null]);
    expect(stdout).toMatch(/^\d+\n$/);
  });

  it.each([0, -1, 1.5])('refuses %d threads', async (workers) => {
    await expect(openTokenizer({ path: byteLevel, workers })).rejects.toMatchObject({ code: 'bad-workers' });
  });
});
