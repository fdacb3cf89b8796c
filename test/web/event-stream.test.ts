import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventStreamParser, type ServerEvent } from '../../web/src/api/event-stream.js';

const parseAll = (pieces: readonly string[]): ServerEvent[] => {
  const parse = eventStreamParser();
  return pieces.flatMap((piece) => parse(piece));
};

describe('the parser of event streams', () => {
  it('reads types, ids, comments, data of several lines, and all three line ends', () => {
    const stream =
      '\ufeff: hello\n\nid: 7\nevent: log\ndata: {"a":1}\n\ndata: one\r\ndata:two\r\n\r\nevent: job\rdata\r\rid\ndata: x\n\n: still here\n\n';
    expect(parseAll([stream])).toEqual([
      { type: 'log', data: '{"a":1}', id: '7' },
      { type: 'message', data: 'one\ntwo', id: '7' },
      { type: 'job', data: '', id: '7' },
      { type: 'message', data: 'x', id: '' },
    ]);
  });

  it('keeps an event without data back, and what a cut stream left unfinished', () => {
    expect(parseAll(['event: log\nid: 3\n\n', 'data: late\n'])).toEqual([]);
    expect(parseAll(['event: log\nid: 3\n\n', 'data: late\n', '\n'])).toEqual([
      { type: 'message', data: 'late', id: '3' },
    ]);
  });

  it('gives the same events wherever the stream is cut', () => {
    const field = fc.string({ unit: fc.constantFrom('a', ' ', ':', '{', 'é', '😀'), maxLength: 8 });
    const line = fc.oneof(
      field.map((value) => `data: ${value}`),
      field.map((value) => `event:${value}`),
      fc.nat(99).map((id) => `id: ${id}`),
      field.map((value) => `:${value}`),
      fc.constant(''),
    );
    const ends = fc.constantFrom('\n', '\r\n', '\r');
    const streams = fc
      .array(fc.tuple(line, ends), { maxLength: 20 })
      .map((lines) => lines.map((l) => l.join('')).join(''));
    fc.assert(
      fc.property(streams, fc.array(fc.nat(200), { maxLength: 8 }), (stream, cuts) => {
        // A CR that ends the stream may be half of a CRLF; a line feed after it settles what it is.
        const text = `${stream}\n`;
        const places = [...new Set(cuts.map((cut) => Math.min(cut, text.length)))].sort((a, b) => a - b);
        const pieces = [0, ...places].map((from, i) => text.slice(from, places[i] ?? text.length));
        expect(parseAll(pieces)).toEqual(parseAll([text]));
      }),
      { numRuns: 500 },
    );
  });

  it('refuses an event that never ends', () => {
    const parse = eventStreamParser();
    expect(() => {
      for (let i = 0; i < 10; i++) parse(`data: ${'x'.repeat(2 ** 20)}\n`);
    }).toThrow('8 MiB');
  });
});
