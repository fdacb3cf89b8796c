import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fatalError, firstLine, oneLine } from '#tokensieve/errors.js';
import { isDeeper, parseJson } from '#tokensieve/json/parse-json.js';

it('gives what JSON.parse gives, for any JSON', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
  );
  expect(parseJson('"a\\\\\\"[[[[[[[[\\\\"', { depth: 2, values: 1 })).toBe('a\\"[[[[[[[[\\');
});

it('counts values and depth outside of strings, at the limit and beyond', () => {
  const list = (items: number): string => `[${Array(items).fill('{}').join(',')}]`;
  // A bracket, and of each item a brace and all but one comma.
  expect(parseJson(list(10), { values: 20 })).toHaveLength(10);
  expect(() => parseJson(list(10), { values: 19 })).toThrow(/more than 19 values/);
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  expect(parseJson(nested(256))).toBeDefined();
  expect(() => parseJson(nested(257))).toThrow(/deeper than 256/);
  expect(isDeeper(parseJson(nested(10)), 9)).toBe(true);
  expect(isDeeper(parseJson(nested(10)), 10)).toBe(false);
  expect(isDeeper(JSON.parse(nested(100_000)))).toBe(true);
});

it('refuses text that ends within a string, as JSON.parse does', () => {
  for (const text of ['"', '["a', '{"a\\"', '"\\', '']) expect(() => parseJson(text)).toThrow(SyntaxError);
});

it('a message is one line that every terminal shows as it is, however long the names in it are', () => {
  const { message } = fatalError(
    'x',
    `a\n  b\u001b[2J\u202ec\u0000${' '.repeat(200_000)}\n${'y'.repeat(10_000)}`,
  );
  expect(message.startsWith('a b\\u001b[2J\\u202ec\\u0000')).toBe(true);
  expect(message.length).toBeLessThan(5000);
  expect(firstLine(new Error('\u0007a\nb'))).toBe('\\u0007a');
  expect(oneLine('as it is: é ∑ 🎉 "x"')).toBe('as it is: é ∑ 🎉 "x"');
});
