/// <reference path="../../src/tokenizer/huggingface-tokenizers.d.ts" />
import { BPE } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeWordSplitter } from '#tokensieve/tokenizer/merging.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { byteFallback, byteLevel, nativeFor, preparedFrom } from './support.js';

describe('words', () => {
  it('split as the definition of byte pair encoding says, by the slow way', () => {
    const alphabet = ['a', 'b', 'c', '𝒳'];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(30), fc.nat(30)), { maxLength: 14 }),
        fc.array(fc.constantFrom(...alphabet, 'z'), { maxLength: 60 }).map((chars) => chars.join('')),
        (choices, word) => {
          const pieces = [...alphabet];
          const merges: [string, string][] = [];
          for (const [a, b] of choices) {
            const [left, right] = [pieces[a % pieces.length]!, pieces[b % pieces.length]!];
            if (pieces.includes(left + right)) continue;
            pieces.push(left + right);
            merges.push([left, right]);
          }
          const vocab = new Map(pieces.map((piece, id) => [piece, id]));
          expect(makeWordSplitter(vocab, merges)(word)).toEqual(slowSplit(word, merges));
        },
      ),
      { numRuns: 500, seed: 3 },
    );
  });

  it.each([byteLevel, byteFallback])('split as in the portable library: %s', async (path) => {
    const { model } = (await preparedFrom(path)).definition;
    if (model.type !== 'BPE') throw new Error('not BPE');
    const merges = model.merges.map(([left, right]): [string, string] => [left, right]);
    const config = { unk_token: '', fuse_unk: false, byte_fallback: false, ignore_merges: false };
    const library = new BPE({ type: 'BPE', vocab: Object.fromEntries(model.vocab), merges, ...config });
    const split = makeWordSplitter(model.vocab, merges);
    const letters = fc.sample(
      fc.array(fc.constantFrom(...'abceghilnorstu'), { minLength: 300, maxLength: 900 }),
      { numRuns: 40, seed: 5 },
    );
    for (const word of letters.map((chars) => chars.join(''))) expect(split(word)).toEqual(library.bpe(word));
  });

  it.each([byteLevel, byteFallback])(
    'of a quarter megabyte take no time and give the native ids: %s',
    { timeout: 120_000 },
    async (path) => {
      const quarter = (unit: string): string => unit.repeat(2 ** 18 / unit.length);
      const texts = [
        quarter('a'),
        quarter('bacedifo'),
        quarter('=-'),
        quarter('\n'),
        `${quarter(' ')}x`,
        quarter('日本'),
        `e${quarter('\u0301')}`,
      ];
      const library = await (await nativeFor(await preparedFrom(path))).encode(texts);
      const portable = await openTokenizer({ path, engine: 'portable', workers: 1 });
      await portable.encode(['warm']);
      for (const [i, text] of texts.entries()) {
        const before = performance.now();
        const [encoding] = await portable.encode([text]);
        const seconds = (performance.now() - before) / 1000;
        expect(
          Buffer.compare(Buffer.from(encoding!.ids.buffer), Buffer.from(library[i]!.ids.buffer)),
          text.slice(0, 8),
        ).toBe(0);
        // The library alone takes 2.5 s for such a word on an idle machine; this takes about 0.3 s.
        expect(seconds).toBeLessThan(10);
        expect(encoding!.offsets().byteEnd.at(-1)).toBe(Buffer.byteLength(text));
      }
      await portable.close();
    },
  );

  it('past what a regular expression can match are the text’s fault, and the pool goes on', {
    timeout: 120_000,
  }, async () => {
    const portable = await openTokenizer({ path: byteFallback, engine: 'portable', workers: 1 });
    const endless = `\u2581${'ab'.repeat(6e6)}`;
    const outcome = await portable.encode([endless]).then(
      ([encoding]) => encoding!.offsets().byteEnd.at(-1) === Buffer.byteLength(endless),
      (error) =>
        error.code === 'unbroken-text' &&
        error.reach === 'fatal' &&
        /12000001 characters/.test(error.message),
    );
    expect(outcome).toBe(true);
    expect((await portable.encode(['after']))[0]!.ids.length).toBeGreaterThan(0);
    await portable.close();
  });
});

/** Merge the pair of lowest rank, leftmost first, until there is none. */
function slowSplit(word: string, merges: readonly (readonly [string, string])[]): string[] {
  const parts = [...word];
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = merges.findIndex(([left, right]) => left === parts[i] && right === parts[i + 1]);
      if (rank >= 0 && rank < bestRank) [best, bestRank] = [i, rank];
    }
    if (best < 0) return parts;
    parts.splice(best, 2, parts[best]! + parts[best + 1]!);
  }
}
