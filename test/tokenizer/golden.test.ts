import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenedTokenizer, openTokenizer } from '#tokensieve/tokenizer/open.js';
import { fixtures } from './support.js';

interface Case {
  readonly tokenizer: string;
  readonly text: string;
  readonly ids: readonly number[];
  readonly offsets: readonly (readonly [number, number])[] | null;
}
const { cases }: { cases: Case[] } = JSON.parse(readFileSync(join(fixtures, 'golden.json'), 'utf8'));

describe.each(['byte-level', 'byte-fallback'])('%s against the library’s Python binding', (name) => {
  const own = cases.filter(({ tokenizer }) => tokenizer === name);
  const opened: OpenedTokenizer[] = [];
  beforeAll(async () => {
    const path = join(fixtures, `${name}.json`);
    opened.push(await openTokenizer({ path, engine: 'native' }));
    opened.push(await openTokenizer({ path, engine: 'portable', workers: 1 }));
  });
  afterAll(() => Promise.all(opened.map((tokenizer) => tokenizer.close())));

  it('has cases with and without offsets', () => {
    expect(own.length).toBeGreaterThanOrEqual(15);
    expect(own.filter(({ offsets }) => offsets !== null).length).toBeGreaterThanOrEqual(14);
  });

  it.each(own)('$text', async ({ text, ids, offsets }) => {
    for (const tokenizer of opened) {
      const [encoding] = await tokenizer.encode([text]);
      expect([...encoding!.ids], tokenizer.engine).toEqual(ids);
      if (offsets === null) continue;
      const { byteStart, byteEnd } = encoding!.offsets();
      expect(
        [...byteStart].map((start, i) => [start, byteEnd[i]]),
        tokenizer.engine,
      ).toEqual(offsets);
    }
  });
});
