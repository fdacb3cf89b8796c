/** tokenizer.json behind both engines, with texts that are hard on them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from '#tokensieve/inspect/inspect.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { change } from '../bytes.mjs';
import { changeJson } from '../json.mjs';
import { Find, fixtures, resultOf, sharedData } from '../support.mjs';

export const name = 'tokenizer';
const storage = localStorage();

let seeds;
function prepare() {
  seeds ??= ['byte-level', 'byte-fallback']
    .map((file) => join(fixtures, 'tokenizers', `${file}.json`))
    .concat([
      join(sharedData, 'models/stories260K-hf/tokenizer.json'),
      join(sharedData, 'models/onnx-decoders/tokenizer.json'),
    ])
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')));
  return seeds;
}

const PATTERNS = [
  '(a+)+b',
  '(a|a)*b',
  '(\\s*a\\s*)*b',
  '(x+x+)+y',
  '(?:a|aa)+$',
  '([a-z]+)*\\d',
  '(.*)*x',
  '(.*.*.*.*.*.*)x',
  '\\p{L}+',
  '(?=a*)*b',
  '(?<=a+)b',
  '(a?){30}a{30}',
  'a{1,65535}',
  '(a{1,1000}){1,1000}',
  '[',
  '(',
  ')',
  '\\',
  '',
  '^',
  '$',
  '(?i:ß)',
  '\\G',
  '(?>a+)+b',
  '\\1',
  '(a)\\1+',
  '.',
  '\\X',
  '(?R)',
  '(?1)',
  '[\\p{L}&&[a]]',
  `${'('.repeat(500)}a${')'.repeat(500)}`,
  `${'a?'.repeat(60)}${'a'.repeat(60)}`,
  `(${'a|'.repeat(3000)}b)`,
  '(?s).',
  '\\p{Foo}',
  '[z-a]',
  'a**',
  '(?#',
];

const splits = (draw) => ({
  type: 'Split',
  pattern: draw.chance(0.8)
    ? { Regex: draw.pick(PATTERNS) }
    : { String: draw.pick(['', ' ', 'a', '\u0000']) },
  behavior: draw.pick(['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']),
  invert: draw.chance(0.3),
});

const PRE = (draw) =>
  draw.pick([
    () => splits(draw),
    () => ({
      type: 'Sequence',
      pretokenizers: [
        splits(draw),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    }),
    () => ({ type: 'Sequence', pretokenizers: Array.from({ length: draw.small(60) }, () => splits(draw)) }),
    () => ({
      type: 'ByteLevel',
      add_prefix_space: draw.chance(0.5),
      trim_offsets: true,
      use_regex: draw.chance(0.5),
    }),
    () => ({
      type: 'Metaspace',
      replacement: draw.pick(['▁', 'ab', '', '\ud83d\ude00']),
      prepend_scheme: draw.pick(['always', 'never', 'first', 'x']),
      split: draw.chance(0.5),
    }),
    () => ({
      type: draw.pick([
        'Digits',
        'Whitespace',
        'WhitespaceSplit',
        'BertPreTokenizer',
        'Punctuation',
        'UnicodeScripts',
        'CharDelimiterSplit',
        'FixedLength',
      ]),
      individual_digits: true,
      delimiter: 'a',
      behavior: 'Isolated',
      length: draw.pick([0, 1, 2, 1e9]),
    }),
    () => null,
  ])();

const NORMALIZERS = (draw) =>
  draw.pick([
    () => ({
      type: 'Replace',
      pattern: draw.chance(0.7) ? { Regex: draw.pick(PATTERNS) } : { String: draw.pick(['', ' ', 'a']) },
      content: draw.pick(['', 'aa', '▁', 'x'.repeat(1000)]),
    }),
    () => ({
      type: 'Sequence',
      normalizers: Array.from({ length: draw.small(30) }, () => ({
        type: 'Replace',
        pattern: { String: 'a' },
        content: draw.pick(['aa', 'a', '']),
      })),
    }),
    () => ({
      type: draw.pick(['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents', 'Nmt', 'ByteLevel']),
    }),
    () => ({ type: 'Prepend', prepend: draw.pick(['▁', '', 'x'.repeat(10_000)]) }),
    () => ({
      type: 'Precompiled',
      precompiled_charsmap: draw.pick([
        '',
        'AAAA',
        'AAAAAAAA',
        '/////////////w==',
        Buffer.alloc(300, draw.below(256)).toString('base64'),
      ]),
    }),
    () => ({ type: 'Strip', strip_left: true, strip_right: true }),
    () => ({
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    }),
    () => null,
  ])();

const TEXTS = (draw) => [
  'Let $x$ be a ∑ of 12345 things.\n\n  é ê 𝄞 👩‍👩‍👧‍👦 \ufeff x',
  draw
    .pick(['a', ' ', 'aa ', 'ab', '\u0301', '1', '\u0000', '\ud800', '▁', 'x', '\n', 'İ', '<s>', '👩‍'])
    .repeat(draw.pick([1, 30, 1000, 20_000])),
  draw.pick(['', '\ufeff', '\ud800\udc00\ud800', '</s><s>', `${'a'.repeat(30)}c`]),
];

export function make(draw) {
  const seed = JSON.parse(JSON.stringify(draw.pick(prepare())));
  const kind = draw.below(6);
  if (kind === 0 || kind === 5) seed.pre_tokenizer = PRE(draw);
  if (kind === 1) seed.normalizer = NORMALIZERS(draw);
  if (kind === 2) {
    const size = Object.keys(seed.model.vocab).length + (seed.added_tokens?.length ?? 0);
    const tokens = Array.from({ length: draw.pick([1, 3, 100, 5000, 60_000]) }, (_, i) => ({
      id: draw.chance(0.98) ? size + i : draw.below(100),
      content: draw.pick([`<${i}>`, `${'a'.repeat(1 + (i % 400))}`, ' ', '(', `[${i}`, 'é', `a${i}`]),
      single_word: draw.chance(0.1),
      lstrip: draw.chance(0.1),
      rstrip: draw.chance(0.1),
      normalized: draw.chance(0.3),
      special: draw.chance(0.3),
    }));
    seed.added_tokens = [...(seed.added_tokens ?? []), ...tokens];
  }
  if (kind === 3) {
    const merges = seed.model.merges;
    for (let i = draw.small(20); i >= 0 && merges.length > 0; i--) {
      const merge = draw.pick(merges);
      merges.splice(
        draw.below(merges.length),
        0,
        draw.pick([
          merge,
          Array.isArray(merge) ? [...merge].reverse() : String(merge).split(' ').reverse().join(' '),
          'a',
          'a b c',
          ['a'],
          ' ',
          '#version',
          '',
          null,
          ['', 'a'],
          'x'.repeat(5000),
        ]),
      );
    }
    const pieces = Object.keys(seed.model.vocab);
    for (let i = draw.small(5); i > 0; i--)
      seed.model.vocab[draw.pick([draw.pick(pieces), '__proto__', '', 'x'.repeat(100_000), '\u0000'])] =
        draw.pick([0, 1, pieces.length, 2 ** 31 - 1, 2 ** 31, 2 ** 32, -1, 0.5, pieces.length * 1000]);
  }
  let text =
    kind === 4 || draw.chance(0.2) ? changeJson(draw, seed, draw.small(4) + 1) : JSON.stringify(seed);
  if (draw.chance(0.05)) text = change(draw, Buffer.from(text));
  const files = { 'tokenizer.json': Buffer.from(text) };
  if (draw.chance(0.2))
    files['tokenizer_config.json'] = Buffer.from(
      changeJson(
        draw,
        { bos_token: '<s>', eos_token: { content: '</s>' }, add_bos_token: true },
        draw.small(3),
      ),
    );
  return { files, texts: TEXTS(draw) };
}

export async function run(folder, { texts }) {
  const outcomes = [];
  const given = [];
  for (const engine of ['portable', 'native']) {
    const opened = await resultOf(() => openTokenizer({ path: folder, engine, workers: 1 }));
    outcomes.push(`${engine} ${opened.outcome}`);
    if (!opened.value) continue;
    try {
      const encoded = await resultOf(async () => {
        const encodings = await opened.value.encode(texts);
        for (const [i, { ids, offsets }] of encodings.entries()) {
          const { byteStart, byteEnd } = offsets();
          if (byteStart.length !== ids.length || byteEnd.length !== ids.length)
            throw new Find('wrong', `${ids.length} ids, ${byteStart.length} offsets`);
          const bytes = Buffer.byteLength(texts[i]);
          for (let t = 0; t < ids.length; t++)
            if (
              byteStart[t] < -1 ||
              byteStart[t] < 0 !== byteEnd[t] < 0 ||
              byteEnd[t] > bytes ||
              byteStart[t] > byteEnd[t]
            )
              throw new Find('wrong', `offsets [${byteStart[t]}, ${byteEnd[t]}) of ${bytes} bytes`);
          if (ids.some((id) => id < 0 || id >= opened.value.vocabularySize))
            throw new Find('wrong', 'an id outside of the vocabulary');
        }
        return encodings.map(({ ids }) => ids);
      });
      outcomes.push(`${engine} encode ${encoded.outcome}`);
      if (encoded.value) given.push(encoded.value);
    } finally {
      await opened.value.close();
    }
  }
  if (
    given.length === 2 &&
    JSON.stringify(given[0].map((ids) => [...ids])) !== JSON.stringify(given[1].map((ids) => [...ids]))
  )
    throw new Find('wrong', 'the engines give different ids');
  outcomes.push(
    (await resultOf(() => inspect(join(folder, 'tokenizer.json'), { storage, cacheFolder: null }))).outcome,
  );
  return outcomes;
}
