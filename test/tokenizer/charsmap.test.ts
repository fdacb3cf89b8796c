import { describe, expect, it } from 'vitest';
import { whyBrokenCharsmap } from '#tokensieve/tokenizer/charsmap.js';
import { parseDefinition } from '#tokensieve/tokenizer/definition.js';
import { refuseUnsound } from '#tokensieve/tokenizer/soundness.js';

const LEAF = 1 << 8;
const A = 0x41;

/** A table of one entry: "A" becomes "a". Units are darts-clone's: label, leaf bit, offset from the tenth bit on. */
function table(change: (units: Uint32Array) => void = () => undefined, texts = 'a\0'): string {
  const units = new Uint32Array(256);
  units[A] = A | LEAF | ((A ^ 1) << 10);
  units[1] = 0x8000_0000;
  change(units);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(4 * units.length);
  return Buffer.concat([head, Buffer.from(units.buffer), Buffer.from(texts, 'latin1')]).toString('base64');
}

const tokenizerWith = (charsmap: unknown) => {
  const json = {
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Precompiled', precompiled_charsmap: charsmap }] },
    model: { type: 'BPE', vocab: { '<unk>': 0, a: 1 }, merges: [], unk_token: '<unk>' },
  };
  return parseDefinition('t', json, JSON.stringify(json));
};

describe('the table of a Precompiled normalizer', () => {
  it('is let through where every step and every replacement is there', () => {
    expect(whyBrokenCharsmap(table())).toBeNull();
    expect(() => refuseUnsound(tokenizerWith(table()))).not.toThrow();
  });

  it.each([
    ['null', null, 'not base64'],
    ['no base64', '#', 'not base64'],
    ['two bytes', 'AAA=', 'too short'],
    ['no entries', 'AAAAAA==', 'empty table'],
    ['entries that are not there', Buffer.from([255, 255, 255, 255, 1]).toString('base64'), 'it ends before'],
    ['a step out of the table', table((units) => (units[A] = A | (1 << 20))), 'leads out'],
    ['a root out of the table', table((units) => (units[0] = 1 << 19)), 'leads out'],
    ['a leaf out of the table', table((units) => (units[A] = A | LEAF | (1 << 20))), 'leads out'],
    ['a replacement past the end', table((units) => (units[1] = 0x8000_0003)), 'names a replacement'],
    ['replacements of other bytes', table(undefined, '\xff\0'), 'UTF-8'],
    [
      'a replacement within a character',
      table((units) => (units[1] = 0x8000_0001), '\xc3\xa9\0'),
      'names a replacement',
    ],
  ])('is refused with %s', (_, charsmap, why) => {
    expect(whyBrokenCharsmap(charsmap)).toContain(why);
    // The native library ended the process over some of these.
    expect(() => refuseUnsound(tokenizerWith(charsmap))).toThrow(/precompiled_charsmap of its normalizer/);
  });

  it('ends where a step leads back to where it came from', () => {
    expect(whyBrokenCharsmap(table((units) => (units[A] = A | (A << 10))))).toBeNull();
  });
});
