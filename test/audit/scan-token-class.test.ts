import { describe, expect, it } from 'vitest';
import { hostOf } from '#tokensieve/dataset/domains.js';
import type { TokenClass } from '#tokensieve/texts/token-class.js';
import { tokenClass } from '#tokensieve/texts/token-class.js';
import { readTokenTexts } from '#tokensieve/texts/token-texts.js';

const CLASSES: Readonly<Partial<Record<TokenClass, string>>> = {
  word: "the ␣the 's don't 日本 naïve x1 http",
  number: '3 3.14 ␣1,000 ½',
  math: '\\frac $ $$ ^{ _{ _n _ }{ { } = + < α ≤ \\\\ \\( x^2 &= }\\',
  code: '); => == (); :: f( snake_case _id camelCase // <=',
  punctuation: '. ... " ( ) | - * / ; % & — 😀 [1]',
  markup: '</div> &nbsp; &# <br <!-- --> ** ## :// ]( ![ ---',
};

describe('token classes', () => {
  it.each(
    Object.entries(CLASSES).flatMap(([name, texts]) =>
      texts.split(' ').map((text) => [text.replace('␣', ' '), name] as const),
    ),
  )('%j is %s', (text, name) => {
    expect(tokenClass(text, false)).toBe(name);
  });

  it('white space, fragments and control tokens', () => {
    for (const text of ['', ' ', '\n\n', '\t', '\u00a0']) expect(tokenClass(text, false)).toBe('whitespace');
    expect(tokenClass(null, false)).toBe('bytes');
    expect(tokenClass('the', true)).toBe('control');
  });

  it('judges a piece of any length at once', () => {
    const began = performance.now();
    for (const text of ['<a', '{', '=', 'a_', '(', '0.', '-']) tokenClass(text.repeat(1_000_000), false);
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

describe('texts of tokens', () => {
  it('are those of byte-level pieces, of byte fallback, and of fragments that make a character', async () => {
    const level = await readTokenTexts('fixtures/tokenizers/byte-level.json');
    const all = Array.from({ length: level.size }, (_, id) => level.text(id));
    expect(level.classOf(0)).toBe('control');
    expect(level.bytes(0)).toBeNull();
    expect(all).toContain(' the');
    const fallback = await readTokenTexts('fixtures/tokenizers/byte-fallback.json');
    const idOf = (text: string) =>
      Array.from({ length: fallback.size }, (_, id) => id).find((id) => fallback.text(id) === text)!;
    const bytes = ['<0xE2>', '<0x89>', '<0xA4>'].map(idOf);
    expect(bytes.map((id) => fallback.classOf(id))).toEqual(['bytes', 'bytes', 'bytes']);
    expect(fallback.join(bytes)).toBe('≤');
    expect(fallback.text(10 ** 6)).toBe('⟨1000000⟩');
  });
});

it.each([
  ['https://www.Example.com/x?y', 'example.com'],
  ['example.org/a', 'example.org'],
  ['https://user:word@math.SE.com:81', 'math.se.com'],
  ['no url', null],
  ['', null],
  ['http://', null],
  ['javascript:alert(1)', null],
])('the host of %j is %j', (url, host) => {
  expect(hostOf(url)).toBe(host);
});
