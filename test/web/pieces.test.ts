import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { piecesOf, stateOf, visible } from '../../web/src/playground/pieces.js';

describe('the pieces of a text', () => {
  it('are its tokens, what stands between them, and boundaries without text', () => {
    const pieces = piecesOf('ab  cd!', { start: [0, 0, 4, 7], end: [0, 2, 6, 7] });
    expect(pieces).toEqual([
      { text: '', first: 0, end: 1 },
      { text: 'ab', first: 1, end: 2 },
      { text: '  ', first: 2, end: 2 },
      { text: 'cd', first: 2, end: 3 },
      { text: '!', first: 3, end: 3 },
      { text: '', first: 3, end: 4 },
    ]);
  });

  it('hold together the tokens that share a character', () => {
    // Three byte tokens of one emoji.
    expect(piecesOf('a🧮b', { start: [0, 1, 1, 1, 3], end: [1, 3, 3, 3, 4] })).toEqual([
      { text: 'a', first: 0, end: 1 },
      { text: '🧮', first: 1, end: 4 },
      { text: 'b', first: 4, end: 5 },
    ]);
  });

  it('give the text back, whatever the offsets, and every token once', () => {
    const offsets = fc.array(fc.tuple(fc.nat(40), fc.nat(12)), { maxLength: 30 });
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 30 }),
        offsets,
        fc.boolean(),
        (text, found, sorted) => {
          const spans = sorted ? [...found].sort((a, b) => a[0] - b[0]) : found;
          const pieces = piecesOf(text, {
            start: spans.map(([start]) => start),
            end: spans.map(([start, length]) => start + length),
          });
          expect(pieces.map((piece) => piece.text).join('')).toBe(text);
          const tokens = pieces.flatMap(({ first, end }) =>
            Array.from({ length: end - first }, (_, i) => first + i),
          );
          expect(tokens).toEqual(spans.map((_, i) => i));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('are kept, dropped, both or neither', () => {
    const piece = { text: 'x', first: 0, end: 2 };
    const state = (eligible: number[], kept: number[]) =>
      stateOf(piece, Uint8Array.from(eligible), Uint8Array.from(kept));
    expect(state([1, 1], [1, 1])).toBe('kept');
    expect(state([0, 1], [0, 1])).toBe('kept');
    expect(state([1, 1], [0, 1])).toBe('part');
    expect(state([1, 1], [0, 0])).toBe('dropped');
    expect(state([0, 0], [0, 0])).toBe('none');
  });

  it('show white space where it must be seen', () => {
    expect(visible(' a\n\tb')).toBe('␣a⏎⇥b');
  });
});
