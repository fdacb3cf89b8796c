/** What reading found in tokenizer.json: text that a regular expression of ours could not get through. */
import { expect, it } from 'vitest';
import { parseDefinition } from '#tokensieve/tokenizer/definition.js';

it('a piece of twenty million characters beside a gap in the vocabulary is no work for the search for lost keys', () => {
  const json = { model: { type: 'BPE', vocab: { a: 0, b: 2, ['x'.repeat(20_000_000)]: 3 }, merges: [] } };
  const { model } = parseDefinition('t', json, JSON.stringify(json));
  expect(model.vocab.size).toBe(3);
});

it('a key written twice is still found, quotes and backslashes in it', () => {
  const text = '{"model":{"type":"BPE","vocab":{"a\\"\\\\":0,"a\\"\\\\":1,"b":2},"merges":[]}}';
  expect(() => parseDefinition('t', JSON.parse(text), text)).toThrow(/twice, with the ids 0 and 1/);
});
