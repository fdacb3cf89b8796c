import { describe, expect, it } from 'vitest';
import { exactJson, exactText } from '#tokensieve/json/exact-number.js';
import { exactMembers, parseExactJson, parsePythonJson } from '#tokensieve/json/python-json.js';
import { memoryStorage } from './memory-storage.js';
import { readRows } from './read.js';

async function kept(value: string): Promise<string | undefined> {
  const [row] = await readRows(
    memoryStorage({ 's.jsonl': Buffer.from(`{"text":"t","x":${value},"y":[NaN]}\n`) }),
    's.jsonl',
    { keep: ['x'] },
  );
  return row?.kind === 'document' ? exactJson(row.columns['x']) : `${row?.kind}`;
}

describe('numbers of kept columns', () => {
  it.each([
    '1610521604143693812',
    '18446744073709551615',
    '-9223372036854775808',
    '9007199254740993',
    '1.0',
    '-0.0',
    '-0',
    '1e400',
    '1E+5',
    '0.1',
    '12',
    '0.30000000000000004',
    '{"tweet":9007199254740993,"deep":[1.0,{"a":1e400}]}',
    '{"__proto__":1610521604143693812}',
    'true',
    'null',
    '"7"',
  ])('%s is stored as it is spelt', async (value) => {
    expect(await kept(value)).toBe(value);
  });

  it.each(['NaN', 'Infinity', '-Infinity'])(
    '%s is the string of that name, without quotes where it is the whole value, as from parquet',
    async (value) => {
      const [row] = await readRows(
        memoryStorage({ 's.jsonl': Buffer.from(`{"text":"t","x":${value}}\n`) }),
        's.jsonl',
        { keep: ['x'] },
      );
      expect(row?.kind === 'document' && exactText(row.columns['x'])).toBe(value);
      expect(await kept(`{"a":${value}}`)).toBe(`{"a":"${value}"}`);
    },
  );

  it('of a key that comes twice the last counts, as in Python', async () => {
    expect(await kept('1,"x":9007199254740993')).toBe('9007199254740993');
    expect(await kept('{"a":1,"a":2.0}')).toBe('{"a":2.0}');
  });
});

describe('JSON as Python reads it', () => {
  it('NaN and infinities are numbers where values are, and nothing else is let through', () => {
    expect(parsePythonJson('{"a":[NaN,-Infinity,Infinity,1],"b":"NaN"}')).toEqual({
      a: [Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 1],
      b: 'NaN',
    });
    for (const bad of [
      '{"a":NaN,}',
      '{NaN:1}',
      '[NaN',
      'NaN x',
      '[-NaN]',
      '[+Infinity]',
      '[nan]',
      '[NaN,01]',
      '["NaN\n"]',
    ])
      expect(() => parsePythonJson(bad), bad).toThrow(SyntaxError);
    expect(() => parsePythonJson(`${'['.repeat(300)}NaN${']'.repeat(300)}`)).toThrow(/deeper/);
  });

  it('members are found behind strings with quotes and brackets in them', () => {
    const text = '{"a":"}\\"{[,", "b" : [1.0, "]"], "c":{"d":1e2} , "e":-0}';
    const found = exactMembers(text, ['b', 'c', 'e', 'z']);
    expect([...found].map(([name, value]) => [name, exactJson(value)])).toEqual([
      ['b', '[1.0,"]"]'],
      ['c', '{"d":1e2}'],
      ['e', '-0'],
    ]);
    expect(exactJson(parseExactJson(text))).toBe('{"a":"}\\"{[,","b":[1.0,"]"],"c":{"d":1e2},"e":-0}');
  });

  it('negative zero of a parquet column keeps its sign', () => {
    expect(exactJson([-0, 0])).toBe('[-0.0,0]');
  });
});
