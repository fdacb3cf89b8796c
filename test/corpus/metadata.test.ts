import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMetadata } from '#tokensieve/corpus/metadata.js';
import { parsePythonLiteral } from '#tokensieve/corpus/python-literal.js';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What Python's repr writes, as CPython's unicode_repr and float_repr do. The inverse of what is tested. */
function repr(value: Json, tuples: boolean): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return reprNumber(value);
  if (typeof value === 'string') return reprString(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => repr(item, tuples)).join(', ');
    return tuples ? `(${items}${value.length === 1 ? ',' : ''})` : `[${items}]`;
  }
  return `{${Object.entries(value)
    .map(([key, inner]) => `${reprString(key)}: ${repr(inner, tuples)}`)
    .join(', ')}}`;
}

/** Doubles beyond the safe integers are floats, and repr shows that. */
function reprNumber(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  const digits = String(value);
  return /^-?\d+$/.test(digits) && !Number.isSafeInteger(value) ? `${digits}.0` : digits;
}

function reprString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = Array.from(text, (character) => {
    const code = character.codePointAt(0) as number;
    if (character === quote || character === '\\') return `\\${character}`;
    if (character === '\n') return '\\n';
    if (character === '\r') return '\\r';
    if (character === '\t') return '\\t';
    if (code < 0x20 || (code >= 0x7f && code <= 0xa0)) return `\\x${code.toString(16).padStart(2, '0')}`;
    if (/[\p{C}\p{Z}]/u.test(character) && character !== ' ') {
      return code > 0xffff
        ? `\\U${code.toString(16).padStart(8, '0')}`
        : `\\u${code.toString(16).padStart(4, '0')}`;
    }
    return character;
  });
  return quote + body.join('') + quote;
}

const json = fc.letrec<{ value: Json; object: { [key: string]: Json } }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'binary' }),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.dictionary(fc.string({ unit: 'binary' }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
}));

describe('metadata', () => {
  it('reads back every dict that repr writes, lists or tuples', () => {
    fc.assert(
      fc.property(json.object, fc.boolean(), (value, tuples) => {
        expect(parseMetadata(repr(value, tuples))).toEqual(value);
      }),
      { numRuns: 1000 },
    );
  });

  it('reads back every JSON object', () => {
    fc.assert(
      fc.property(json.object, (value) => {
        expect(parseMetadata(JSON.stringify(value))).toEqual(plainZero(value));
      }),
    );
  });

  it('never throws, whatever the text', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '(',
      ')',
      "'",
      '"',
      '\\',
      ':',
      ',',
      'None',
      'x',
      '1',
      '-',
      '.5e',
      ' ',
      'b',
      '\\x4',
      'é',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
        const found = parseMetadata(`{${parts.join('')}`);
        expect(found === null || typeof found === 'object').toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    [
      "{'url': 'x', 'score': 0.5, 'tags': ('a',), 'ok': True, 'none': None}",
      { url: 'x', score: 0.5, tags: ['a'], ok: true, none: null },
    ],
    [
      `{"it's": 'say "hi"', 'tab': 'a\\tb', 'hex': '\\xe9\\u2211\\U0001f600'}`,
      { "it's": 'say "hi"', tab: 'a\tb', hex: 'é∑😀' },
    ],
    [
      "{'s': {1, 2}, 'e': set(), 'b': b'a\\x00', 7: 'seven', 'l': [1, 2,]}",
      { s: [1, 2], e: [], b: 'a\0', 7: 'seven', l: [1, 2] },
    ],
    [
      "{'big': 12345678901234567890, 'n': nan, 'i': -inf}",
      { big: '12345678901234567890', n: 'NaN', i: '-Infinity' },
    ],
    ['{"math": {"score": NaN}}', { math: { score: 'NaN' } }],
    [{ already: 'an object' }, { already: 'an object' }],
    [' {} ', {}],
  ])('%s', (text, expected) => expect(parseMetadata(text)).toEqual(expected));

  it.each([
    [null],
    [undefined],
    [42],
    [''],
    ['nonsense'],
    ['[1, 2]'],
    ["{'a': 1"],
    ["{'a' 1}"],
    ["{'a': datetime.datetime(2020, 1, 1)}"],
    ["{'a': '\\x4'}"],
    ["{'a': '\\U00110000'}"],
    ["{'a': 1}}"],
    ["{'a': 1, 2}"],
    ['{[1]: 2}'],
    [new Date(0)],
    [['a']],
  ])('nonsense is null: %s', (value) => expect(parseMetadata(value)).toBeNull());

  it('keeps a key named __proto__ a key', () => {
    const found = parseMetadata("{'__proto__': {'polluted': True}}");
    expect(Object.keys(found ?? {})).toEqual(['__proto__']);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('takes linear time over a megabyte, and gives up beyond', () => {
    const hostile = [
      `{${'['.repeat(900_000)}`,
      `{'a': '${'\\\\'.repeat(450_000)}'`,
      `{'${'a'.repeat(900_000)}`,
      `{${"'a' ".repeat(250_000)}`,
      `{${'9'.repeat(900_000)}x`,
    ];
    for (const text of hostile) {
      const started = performance.now();
      expect(parseMetadata(text)).toBeNull();
      expect(performance.now() - started).toBeLessThan(2000);
    }
    expect(parsePythonLiteral(`${'['.repeat(64)}${']'.repeat(64)}`)).toBeDefined();
    expect(parsePythonLiteral(`${'['.repeat(66)}${']'.repeat(66)}`)).toBeUndefined();
    expect(parseMetadata(`{'a': '${'a'.repeat(2 ** 20)}'}`)).toBeNull();
  });
});

/** JSON.stringify writes -0 as 0. */
function plainZero(value: Json): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}
