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
    // BOS, a letter, three byte tokens of one emoji of which the last has its range, a letter, EOS.
    expect(piecesOf('a🧮b', { start: [0, 0, 1, 1, 1, 3, 4], end: [0, 1, 1, 1, 3, 4, 4] })).toEqual([
      { text: '', first: 0, end: 1 },
      { text: 'a', first: 1, end: 2 },
      { text: '🧮', first: 2, end: 5 },
      { text: 'b', first: 5, end: 6 },
      { text: '', first: 6, end: 7 },
    ]);
    // The same at the beginning: BOS stays apart.
    expect(piecesOf('é', { start: [0, 0, 0, 1], end: [0, 0, 1, 1] })).toEqual([
      { text: '', first: 0, end: 1 },
      { text: 'é', first: 1, end: 3 },
      { text: '', first: 3, end: 4 },
    ]);
    // Where each of them has the whole range.
    expect(piecesOf('🧮b', { start: [0, 0, 2], end: [2, 2, 3] })).toEqual([
      { text: '🧮', first: 0, end: 2 },
      { text: 'b', first: 2, end: 3 },
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
