import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createHashSet, slotsFor } from '#tokensieve/audit/compare/hash-set.js';
import { MOST_NGRAMS, ngramOverlap } from '#tokensieve/audit/compare/overlap.js';
import { overlapSchema } from '#tokensieve/audit/compare/overlap-report.js';
import { createNgrams, type WordRule } from '#tokensieve/audit/compare/words.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { writtenParquet } from '../corpus/written-parquet.js';
import { withFolder } from '../dataset/batches.js';

const storage = localStorage();
type Options = Parameters<typeof ngramOverlap>[2];

const jsonl = (texts: readonly unknown[], column = 'text'): string =>
  texts.map((text) => `${JSON.stringify({ [column]: text })}\n`).join('');

/** The overlap of texts, written to shards. */
const overlapOf = (evaluation: readonly string[], reference: readonly string[], options: Options = {}) =>
  withFolder(async (folder) => {
    await writeFile(`${folder}/evaluation.jsonl`, jsonl(evaluation));
    await writeFile(`${folder}/reference.jsonl.gz`, gzipSync(jsonl(reference)));
    const sources = {
      evaluation: [{ name: 'set', patterns: [`${folder}/evaluation.jsonl`] }],
      reference: { patterns: [`${folder}/reference.jsonl.gz`] },
    };
    const found = await ngramOverlap(storage, sources, options);
    expect(overlapSchema.parse(found)).toEqual(found);
    return found;
  });

/** What the rules say, with strings in place of hashes. */
function naiveWords(text: string, rule: WordRule): string[] {
  if (rule === 'exact') return text.split(/\s+/).filter((word) => word !== '');
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[぀-ヿ一-鿿]|(?:(?![぀-ヿ一-鿿])[\p{L}\p{M}\p{N}])+/gu) ?? []
  );
}

function naiveNgrams(text: string, n: number, rule: WordRule): string[] {
  const words = naiveWords(text, rule);
  return words
    .slice(0, Math.max(0, words.length - n + 1))
    .map((_, at) => words.slice(at, at + n).join('\u0000'));
}

function naive(evaluation: readonly string[], reference: readonly string[], n: number, rule: WordRule) {
  const known = new Set(reference.flatMap((text) => naiveNgrams(text, n, rule)));
  const documents = evaluation.map((text) => naiveNgrams(text, n, rule));
  const found = documents.map((ngrams) => ngrams.filter((ngram) => known.has(ngram)).length);
  const ngrams = documents.reduce((sum, one) => sum + one.length, 0);
  const total = found.reduce((sum, one) => sum + one, 0);
  return {
    documents: documents.length,
    short_documents: documents.filter((one) => one.length === 0).length,
    ngrams,
    found: total,
    share: ngrams === 0 ? null : total / ngrams,
    documents_over_half: documents.filter((one, i) => found[i]! > one.length / 2).length,
    distinct: new Set(documents.flat()).size,
    words: reference.reduce((sum, text) => sum + naiveWords(text, rule).length, 0),
  };
}

/** Texts of few words, so that they have runs in common, with what makes words hard to tell. */
const word = fc.constantFrom(
  'the',
  'The',
  'prime',
  'x',
  'X²',
  'é',
  'e\u0301',
  'ﬁeld',
  'ΣΑΣ',
  'a-b',
  '3.14',
  '😀',
  '素数',
  'ひ',
  '\\frac{a}',
);
const space = fc.constantFrom(' ', ' ', '  ', '\n', '\u00a0', '\u3000', ', ', '. ', '');
const text = fc
  .array(fc.tuple(word, space), { minLength: 1, maxLength: 40 })
  .map((pairs) => pairs.map(([one, gap]) => one + gap).join(''));
const texts = fc.array(text, { minLength: 1, maxLength: 6 });

it('agrees with a naive implementation over random texts', async () => {
  const rule = fc.constantFrom<WordRule>('normalised', 'exact');
  await fc.assert(
    fc.asyncProperty(
      texts,
      texts,
      fc.integer({ min: 1, max: 5 }),
      rule,
      async (evaluation, reference, n, words) => {
        const { distinct, words: counted, ...expected } = naive(evaluation, reference, n, words);
        const found = await overlapOf(evaluation, reference, { n, words });
        expect(found.evaluation).toEqual([{ name: 'set', ...expected, set_aside: 0 }]);
        expect(found.distinct_ngrams).toBe(distinct);
        expect(found.reference).toMatchObject({ documents: reference.length, words: counted, set_aside: 0 });
      },
    ),
    { numRuns: 60 },
  );
});

it('finds 13 words whatever their case and punctuation, and not across documents', async () => {
  const words = Array.from({ length: 20 }, (_, i) => `word${i}`);
  const found = await overlapOf(
    [words.join(' '), words.slice(0, 12).join(' ')],
    [`So: "${words.slice(0, 14).join(', ').toUpperCase()}!"`, words.slice(14).join(' ')],
  );
  expect(found).toMatchObject({
    n: 13,
    words: 'normalised',
    distinct_ngrams: 8,
    distinct_maximum: MOST_NGRAMS,
  });
  expect(found.evaluation).toEqual([
    {
      name: 'set',
      documents: 2,
      short_documents: 1,
      ngrams: 8,
      found: 2,
      share: 0.25,
      documents_over_half: 0,
      set_aside: 0,
    },
  ]);
  const exact = await overlapOf([words.join(' ')], [words.join(', ')], { words: 'exact' });
  expect(exact.evaluation[0]!.found).toBe(0);
});

it('is whole over a text of its own, and nothing over other text', async () => {
  await fc.assert(
    fc.asyncProperty(texts, async (some) => {
      const [own] = (await overlapOf(some, some, { n: 3 })).evaluation;
      expect(own!.found).toBe(own!.ngrams);
      expect(own!.documents_over_half).toBe(own!.documents - own!.short_documents);
      const [other] = (await overlapOf(some, ['alpha beta gamma delta'], { n: 3 })).evaluation;
      expect(other!.found).toBe(0);
    }),
    { numRuns: 10 },
  );
});

it('reads parquet and jsonl together, other columns, and names sets apart', () =>
  withFolder(async (folder) => {
    const passage = 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen';
    await writeFile(
      `${folder}/train.parquet`,
      await writtenParquet({ body: { type: 'UTF8' } }, [{ body: passage }, { body: 'x' }]),
    );
    await writeFile(`${folder}/more.jsonl`, jsonl(['nothing', null], 'body'));
    await writeFile(`${folder}/a.jsonl`, jsonl([passage], 'question'));
    await writeFile(`${folder}/b.jsonl`, jsonl(['and now something else', 7]));
    const found = await ngramOverlap(storage, {
      evaluation: [
        { name: 'a', patterns: [`${folder}/a.jsonl`], text: 'question' },
        { name: 'b', patterns: [`${folder}/b.jsonl`] },
      ],
      reference: { patterns: [`${folder}/train.parquet`, `${folder}/more.jsonl`], text: 'body' },
    });
    expect(found.evaluation).toEqual([
      {
        name: 'a',
        documents: 1,
        short_documents: 0,
        ngrams: 2,
        found: 2,
        share: 1,
        documents_over_half: 1,
        set_aside: 0,
      },
      {
        name: 'b',
        documents: 1,
        short_documents: 1,
        ngrams: 0,
        found: 0,
        share: null,
        documents_over_half: 0,
        set_aside: 1,
      },
    ]);
    expect(found.reference).toEqual({
      names: ['more.jsonl', 'train.parquet'],
      shards: 2,
      documents: 3,
      words: 16,
      set_aside: 1,
    });
    const none = ngramOverlap(storage, {
      evaluation: [{ name: 'a', patterns: [`${folder}/a.jsonl`] }],
      reference: { patterns: [`${folder}/train.parquet`], text: 'body' },
    });
    await expect(none).rejects.toMatchObject({
      reach: 'usage',
      code: 'no-text',
      message: expect.stringMatching(
        /a\.jsonl: no document has text in column 'text' \(.*row 0: column text: the text is null; the row has question\); name the column/,
      ),
    });
  }));

it('refuses more n-grams than it may hold, with the arithmetic', async () => {
  const long = Array.from({ length: 40 }, (_, i) => `w${i}`).join(' ');
  expect((await overlapOf([long], ['x'], { maximum: 28 })).distinct_ngrams).toBe(28);
  await expect(overlapOf(['x', long], ['x'], { maximum: 27 })).rejects.toMatchObject({
    reach: 'usage',
    code: 'too-many-ngrams',
    message: expect.stringMatching(
      /evaluation set set, document 2: more than 27 different 13-grams .* 4096 slots of 9 bytes \(1 MB\)/,
    ),
  });
  expect(slotsFor(MOST_NGRAMS)).toBe(2 ** 24); // 151 MB
  await expect(overlapOf(['x'], ['x'], { n: 0 })).rejects.toMatchObject({
    reach: 'usage',
    code: 'bad-ngram',
  });
});

it('cuts a long text into pieces that read as the whole does', () => {
  const { scan } = createNgrams(2, 'normalised');
  const hashes = (some: string) => {
    const all: string[] = [];
    const words = scan(some, (low, high) => all.push(`${low} ${high}`));
    return { words, all };
  };
  // 70,000 words over several pieces, with marks, a sigma at the end of a word and characters beyond 16 bits.
  const parts = ['e\u0301tude', 'ΟΔΟΣ', '𝒜𝓑', 'plain', 'ﬃ', '素数'];
  const long = Array.from({ length: 70_000 }, (_, i) => `${parts[i % parts.length]}${i}`).join(' ');
  expect(long.length).toBeGreaterThan(4 * 65_536);
  const plain = long.normalize('NFKC').toLowerCase();
  expect(hashes(long)).toEqual(hashes(plain.replaceAll(' ', '; ')));
  expect(hashes(long).words).toBe(naiveWords(long, 'normalised').length);
  const unbroken = '😀a'.repeat(500_000); // no white space in 1.5 million units: cut between characters
  expect(hashes(unbroken).words).toBe(500_000);
});

it('holds what a set holds, while it grows', () => {
  const pairs = fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: -3, max: 3 })), {
    maxLength: 300,
  });
  fc.assert(
    fc.property(pairs, pairs, (added, marked) => {
      const set = createHashSet(1000);
      for (const [low, high] of added) expect(set.add(low, high)).toBe(true);
      for (const [low, high] of marked) set.mark(low, high);
      const known = new Set(added.map(String));
      const marks = new Set(marked.map(String));
      expect(set.size()).toBe(known.size);
      for (const pair of [...added, ...marked]) {
        expect(set.marked(...pair)).toBe(known.has(String(pair)) ? marks.has(String(pair)) : undefined);
      }
    }),
    { numRuns: 50 },
  );
  const large = createHashSet(20_000);
  for (let i = 0; i < 20_000; i++) expect(large.add(Math.imul(i, 0x9e37_79b1) | 0, i)).toBe(true);
  expect(large.add(1, -1)).toBe(false);
  expect(large.add(0, 0)).toBe(true); // what it has it takes again
  for (let i = 0; i < 20_000; i++) expect(large.marked(Math.imul(i, 0x9e37_79b1) | 0, i)).toBe(false);
});
