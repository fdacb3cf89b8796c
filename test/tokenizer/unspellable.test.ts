import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { parsePack } from '#tokensieve/pack/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { byteFallback, byteLevel, readJson, writeFolder } from './support.js';

const engines = ['native', 'portable'] as const;

/** What the byte alphabet writes the byte 3 as: the piece that Falcon and others lack. */
const THREE = '\u0103';

const withoutThree = (): object => {
  const json = readJson(byteLevel);
  json.model.vocab['never spelled'] = json.model.vocab[THREE];
  delete json.model.vocab[THREE];
  return json;
};

describe('what no piece spells', () => {
  it.each(engines)('sets its text aside, and no other text: %s', async (engine) => {
    const whole = await openTokenizer({ path: byteLevel, engine, workers: 1 });
    const lacking = await openTokenizer({
      path: writeFolder({ 'tokenizer.json': withoutThree() }),
      engine,
      workers: 1,
    });
    const texts = ['plain text, é 数学', 'a\u0003b', '\u0003', 'after it'];
    const [first, second, third, last] = await lacking.encode(texts);
    const expected = await whole.encode(texts);
    expect(first!.ids).toEqual(expected[0]!.ids);
    expect(last!.ids).toEqual(expected[3]!.ids);
    for (const one of [second!, third!]) {
      expect(one.ids).toHaveLength(0);
      expect(one.unspellable).toMatch(/no piece of the tokenizer spells U\+0003/);
    }
    await Promise.all([whole.close(), lacking.close()]);
  });

  it.each(engines)('is nothing where the character is a piece itself, as Gemma’s tab: %s', async (engine) => {
    const json = readJson(byteFallback);
    const id = json.model.vocab['<0x09>'];
    delete json.model.vocab['<0x09>'];
    json.model.vocab['\t'] = id;
    const path = writeFolder({ 'tokenizer.json': json });
    const tokenizer = await openTokenizer({ path, engine, workers: 1 });
    const [encoding] = await tokenizer.encode(['a\tb']);
    expect([...encoding!.ids]).toContain(id);
    await tokenizer.close();
  });

  it('is quarantined by a run, with the reason', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokensieve-unspellable-'));
    const shard = join(folder, 'docs.jsonl');
    const texts = ['one', 'tw\u0003o', 'three', ''];
    writeFileSync(shard, texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
    const settings = parsePack(
      {
        shards: [shard],
        tokenizer: { path: writeFolder({ 'tokenizer.json': withoutThree() }) },
        out: join(folder, 'out'),
        sequence: { length: 8, packing: 'document' },
      },
      'test',
    );
    const report = await packCorpus(settings, {
      storage: localStorage(),
      sink: () => undefined,
      signal: new AbortController().signal,
      replace: false,
    });
    expect(report).toMatchObject({ documents: 2 });
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const read = (end: string): string =>
      readFileSync(join(folder, names.find((name) => name.endsWith(end))!), 'utf8');
    // What could not be read comes first, what could not be spelled behind it.
    expect(
      read('quarantine.jsonl')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { row: 3, reason: 'empty-text' },
      { row: 1, rows: 1, reason: 'unspellable', detail: expect.stringMatching(/U\+0003/) },
    ]);
    const manifest = JSON.parse(read('.manifest.json'));
    expect(manifest.counts).toMatchObject({ documents: 2, text_bytes: 8, quarantined_rows: 2 });
    expect(manifest.marks).toMatchObject({
      bos: { id: null },
      eos: { id: null, source: expect.any(String) },
    });
  });
});

describe('a unigram model', () => {
  const pieces = [
    ...['<unk>', '<s>', '</s>'].map((piece) => [piece, 0]),
    ...Array.from({ length: 256 }, (_, byte) => [
      `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
      0,
    ]),
    ...['▁', '▁the', 't', 'h', 'e', '数', '数学'].map((piece, i) => [piece, -2 - i / 10]),
  ];
  const json = {
    ...readJson(byteFallback),
    added_tokens: readJson(byteFallback).added_tokens.slice(0, 3),
    model: { type: 'Unigram', unk_id: 0, byte_fallback: true, vocab: pieces },
  };
  const files = { 'tokenizer.json': json, 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } };

  it('is read by the native engine, and refused by name by the portable one', async () => {
    const path = writeFolder(files);
    const tokenizer = await openTokenizer({ path, engine: 'native' });
    const [plain] = await tokenizer.encode(['the 数学']);
    expect([...plain!.ids].map((id) => pieces[id]![0])).toEqual(['▁the', '▁', '数学']);
    await expect(openTokenizer({ path, engine: 'portable' })).rejects.toMatchObject({
      code: 'no-portable-tokenizer',
      message: expect.stringContaining('its model is Unigram'),
    });
  });

  it('gives no control token to a text that spells one out', async () => {
    const tokenizer = await openTokenizer({ path: writeFolder(files), engine: 'native' });
    const encodings = await tokenizer.encode(['a</s>b', '<s>', ' \u0000control 2', 'x \u0000control 2 y']);
    for (const { ids } of encodings) expect([...ids].filter((id) => id === 1 || id === 2)).toEqual([]);
  });
});
