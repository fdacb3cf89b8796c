/** What fuzzing found: definitions over which the native library ends the process. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseDefinition } from '#tokensieve/tokenizer/definition.js';
import { mayMatchNothing } from '#tokensieve/tokenizer/empty-match.js';
import { whyItAborts } from '#tokensieve/tokenizer/native-aborts.js';
import { refuseUnsound } from '#tokensieve/tokenizer/soundness.js';

const STRIP = { type: 'Strip', strip_left: true, strip_right: true };
const removes = (pattern: object) => ({ type: 'Replace', pattern, content: '' });
const doubles = (pattern: object) => ({ type: 'Replace', pattern, content: 'aa' });

interface Parts {
  readonly normalizer?: object;
  readonly pre_tokenizer?: object;
  /** Of an added token that is looked for in normalized text. */
  readonly token?: string;
}

const jsonOf = ({ token, ...parts }: Parts) => ({
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  ...parts,
  added_tokens:
    token === undefined
      ? []
      : [
          {
            id: 2,
            content: token,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: true,
            special: false,
          },
        ],
  model: { type: 'BPE', vocab: { '<unk>': 0, a: 1 }, merges: [], unk_token: '<unk>' },
});

const definitionOf = (parts: Parts) => {
  const json = jsonOf(parts);
  return parseDefinition('t.json', json, JSON.stringify(json));
};

/** Encodes texts with the library alone, in a process that may end by it. */
function libraryEnds(parts: Parts): boolean {
  const program = `
    const { Tokenizer } = await import('tokenizers');
    const tokenizer = Tokenizer.fromString(process.argv[1]);
    for (const text of ['a b', '', ' ', 'aa', '\\u0301', '\\u0001a', '\\n']) await tokenizer.encodeBatch([text]);
  `;
  const json = { version: '1.0', ...jsonOf(parts) };
  const { status, signal } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', program, JSON.stringify(json)],
    {
      stdio: 'ignore',
    },
  );
  if (signal === null && status !== 0) throw new Error(`the library refused it, exit ${status}`);
  return signal === 'SIGABRT';
}

describe('definitions that end the process', () => {
  it.each<[string, Parts]>([
    ['an empty string replaced', { normalizer: doubles({ String: '' }) }],
    ['a pattern that matches nothing replaced', { normalizer: doubles({ Regex: '(?=a)' }) }],
    [
      'a token of white space, stripped, in a sequence',
      { normalizer: { type: 'Sequence', normalizers: [STRIP] }, token: '  ' },
    ],
    ['a token of a control character', { normalizer: { type: 'Nmt' }, token: '\u0001' }],
    ['a token that is removed', { normalizer: removes({ String: 'a' }), token: 'aa' }],
    ['an empty string put before', { normalizer: { type: 'Prepend', prepend: '' } }],
    ['pieces of no length', { pre_tokenizer: { type: 'FixedLength', length: 0 } }],
  ])('%s: the library does, so it is refused', (_, parts) => {
    expect(libraryEnds(parts)).toBe(true);
    expect(() => refuseUnsound(definitionOf(parts))).toThrow(/^t\.json: /);
  });

  it.each<[string, Parts]>([
    ['replacements that take a character', { normalizer: doubles({ Regex: '\\s+' }), token: 'ab' }],
    ['a token beside white space', { normalizer: STRIP, token: ' x ' }],
    ['a token of which something is left', { normalizer: removes({ String: 'a' }), token: 'ab' }],
    ['pieces of two', { pre_tokenizer: { type: 'FixedLength', length: 2 } }],
  ])('%s: the library does not, and it is let through', (_, parts) => {
    expect(libraryEnds(parts)).toBe(false);
    expect(whyItAborts(definitionOf(parts))).toBeNull();
  });

  it('a token of a mark without accents is refused, which some vocabularies abort over', () => {
    const parts = { normalizer: { type: 'StripAccents' }, token: '\u0301' };
    expect(whyItAborts(definitionOf(parts))).toContain('may leave nothing of the added token');
  });

  it('a pattern whose matches are not known to leave something of a token is refused', () => {
    const parts = { normalizer: removes({ Regex: '[ab]+' }), token: 'ab' };
    expect(whyItAborts(definitionOf(parts))).toContain('"ab"');
  });
});

describe('patterns', () => {
  it.each([
    '',
    'a*',
    'a?b?',
    '^',
    '$',
    '\\b',
    '\\G',
    '(?=a)',
    '(?<!a)',
    'a|',
    '|a',
    '(a|b*)',
    '(?:)',
    'a{0,3}',
    'a{0}',
    'a{,3}',
    'a{2}?',
  ])('%j may match nothing', (pattern) => expect(mayMatchNothing(pattern)).toBe(true));
  it.each([
    ' ',
    '\\s+',
    '[^a]',
    '[]a]',
    'a|b',
    '(?:a|b)+',
    '(?i:x)',
    '^a',
    'a$',
    '(?<=a)b',
    ' {2,}',
    '\\p{L}+',
    '\\x{20}',
    'a+?',
    'a{1,2}?',
    '(a*)b',
  ])('%j takes a character', (pattern) => expect(mayMatchNothing(pattern)).toBe(false));
});
