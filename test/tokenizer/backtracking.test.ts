import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { whyItBacktracks } from '#tokensieve/tokenizer/backtracking.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { temporaryFolder } from '../support/quickstart.js';

const fixture = fileURLToPath(new URL('../../fixtures/tokenizers/byte-level.json', import.meta.url));

describe('patterns that a text could keep busy', () => {
  const folder = temporaryFolder();

  it.each([
    '(a+)+b',
    '(?:a+)+b',
    '(a|a)*b',
    '(?:a|aa)+$',
    '(\\s*a\\s*)*b',
    '(x+x+)+y',
    '([a-z]+)*\\d',
    '(.*)*x',
    '(.*.*.*.*.*.*)x',
    '(?=a*)*b',
    '(?<=(?:a+)+)b',
    '(?>a+)+b',
    '(?i:a+){2,}b',
    '(?<n>a?){30}a{30}',
    '(a{1,1000}){1,1000}',
    'a**b',
    'a+*b',
    '(a+?)+?b',
    '(?:[^)]+)+b',
    '(?:[\\]a]+)+b',
    '(?:[]a]+)+b',
    '(?:\\p{L}+)+b',
    '(?:\\(+)+b',
    '(a)\\1+',
    '(?:a\\g<0>?)b',
    `${'a?'.repeat(60)}${'a'.repeat(60)}`,
    `${'('.repeat(500)}a${')'.repeat(500)}`,
  ])('%s', (pattern) => {
    expect(whyItBacktracks(pattern)).toMatch(/^(repeats|has|refers) /);
  });

  it.each([
    // GPT-2; Llama 3; o200k; DeepSeek; Bloom.
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\s*[\\r\\n]+",
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*',
    ' ?[^(\\s|[.,!?…。，、।۔،])]+',
    '[\\p{L}&&[^\\p{Han}]]+',
    '\\d{3}|(?<year>\\d{4})',
    'a{1,65535}',
    'a\\+\\*\\(?b',
    '\\x{1F600}+|\\u{e9}*',
    '{,}',
  ])('patterns in use are taken: %s', (pattern) => {
    expect(whyItBacktracks(pattern)).toBeNull();
  });

  it.each(['native', 'portable'] as const)(
    '%s: refused with the file and the pattern, in a moment',
    async (engine) => {
      const json = JSON.parse(readFileSync(fixture, 'utf8'));
      json.pre_tokenizer = {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated', invert: false },
          { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
        ],
      };
      const path = join(folder, 'tokenizer.json');
      writeFileSync(path, JSON.stringify(json));
      await expect(openTokenizer({ path, engine })).rejects.toMatchObject({
        code: 'bad-tokenizer',
        message: expect.stringContaining(
          `${path}: the pattern of its Split, "(a+)+b", repeats what itself repeats`,
        ),
      });
    },
  );
});
