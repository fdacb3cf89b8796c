import { createHash } from 'node:crypto';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { describe, expect, it } from 'vitest';
import { drawShards, isHeldOut, parquetBytes, rowsOf, shards } from '../../fixtures/quickstart/corpus.mjs';
import { topics } from '../../fixtures/quickstart/lessons/index.mjs';
import { defaults } from '../../fixtures/quickstart/make.mjs';
import { noiseKinds } from '../../fixtures/quickstart/noise.mjs';
import { cleanPage, noisyPage } from '../../fixtures/quickstart/page.mjs';
import { Random } from '../../fixtures/quickstart/random.mjs';

type Span = readonly [number, number, string];
const spansOf = (metadata: string): readonly Span[] => JSON.parse(metadata).noise;
const bytesOf = (text: string, [start, end]: Span): string =>
  Buffer.from(text).subarray(start, end).toString();

/** Sums, differences, products, fractions and powers of whole numbers, to nine digits; null for anything else. */
function evaluate(latex: string): number | null {
  const js = latex
    .replaceAll(/\\frac\{([^{}]*)\}\{([^{}]*)\}/g, '(($1)/($2))')
    .replaceAll('\\cdot', '*')
    .replaceAll(/\^\{([^{}]*)\}/g, '**($1)')
    .replaceAll('^', '**');
  if (!/^[\d\s()+*/-]+$/.test(js) || !/\d/.test(js)) return null;
  return Number(Number(new Function(`return (${js})`)()).toPrecision(9));
}

/** Chains `a = b = c` in formulas: the values of the sides that are arithmetic, where there are two or more. */
function equalities(text: string): number[][] {
  const formulas = text.match(/\$[^$]+\$|\\\[[^\]]+\\\]|^.*&=.*$/gm) ?? [];
  return formulas
    .flatMap((formula) => formula.replaceAll(/^(\$|\\\[)|(\$|\.? *\\\]|\\\\)$|&/g, '').split(', \\qquad'))
    .map((formula) => formula.split('=').flatMap((side) => evaluate(side.trim()) ?? []))
    .filter((values) => values.length > 1);
}

describe('pages', () => {
  const noisy = Array.from({ length: 150 }, (_, i) => noisyPage('test', 'noisy', i));

  it('label noise by byte ranges that are in order, on characters, and leave only lessons', () => {
    for (const { text, metadata } of noisy) {
      const bytes = Buffer.from(text);
      let at = 0;
      let rest = '';
      for (const span of spansOf(metadata)) {
        const [start, end, kind] = span;
        expect(start).toBeGreaterThanOrEqual(at);
        expect(end).toBeGreaterThan(start);
        expect(noiseKinds.map((noise) => noise.kind)).toContain(kind);
        expect(bytesOf(text, span)).not.toContain('\ufffd');
        rest += bytes.subarray(at, start);
        at = end;
      }
      rest += bytes.subarray(at);
      expect(rest).not.toMatch(/cookie|Copyright|newsletter|Home|Previous|\d\.\d/);
      for (const values of equalities(rest)) expect(new Set(values).size).toBe(1);
    }
  });

  it('hold every kind of noise, and between 35% and 50% of bytes in all', () => {
    const byKind = new Map<string, number>();
    let bytes = 0;
    for (const { text, metadata } of noisy) {
      bytes += Buffer.byteLength(text);
      for (const [start, end, kind] of spansOf(metadata))
        byKind.set(kind, (byKind.get(kind) ?? 0) + end - start);
    }
    expect([...byKind.keys()].sort()).toEqual(noiseKinds.map(({ kind }) => kind).sort());
    const share = [...byKind.values()].reduce((sum, n) => sum + n, 0) / bytes;
    expect(share).toBeGreaterThan(0.35);
    expect(share).toBeLessThan(0.5);
  });

  it('hold only wrong results where wrong arithmetic is labelled', () => {
    let checked = 0;
    for (const { text, metadata } of noisy) {
      for (const span of spansOf(metadata).filter(([, , kind]) => kind === 'wrong-arithmetic')) {
        for (const values of equalities(bytesOf(text, span))) {
          expect(new Set(values).size).toBe(2);
          checked++;
        }
      }
    }
    expect(checked).toBeGreaterThan(100);
  });

  it('are clean where they are for the reference', () => {
    for (let i = 0; i < 50; i++) expect(spansOf(cleanPage('test', 'clean', i).metadata)).toEqual([]);
  });
});

describe('lessons', () => {
  it.each(Object.entries(topics))('%s: every result is correct, no slot is empty', (name, topic) => {
    const texts = Array.from({ length: 200 }, (_, i) => {
      const { title, paragraphs } = topic(new Random(`lesson/${name}/${i}`));
      return [title, ...paragraphs].join('\n');
    });
    for (const text of texts) {
      expect(text).not.toMatch(/undefined|NaN|null|\[object|Infinity|\+ -|- -|--/);
      for (const values of equalities(text)) expect(new Set(values).size, text).toBe(1);
    }
    expect(new Set(texts).size).toBeGreaterThan(10);
  });

  it('are checked by a checker that sees what is wrong', () => {
    expect(equalities('$2 \\cdot (-3) + 4 = -2$, $c = 7^{2} = 48 = \\frac{98}{2}$, $x = 3$')).toEqual([
      [-2, -2],
      [49, 48, 49],
    ]);
    const all = Object.entries(topics).map(([name, topic]) =>
      equalities(topic(new Random(name)).paragraphs.join('\n')),
    );
    expect(all.filter((found) => found.length > 0).length).toBeGreaterThan(15);
  });
});

describe('shards', () => {
  const few = rowsOf({ ...shards[0]!, rows: 40 }, defaults.seed);

  it.each(['SNAPPY', 'GZIP', 'UNCOMPRESSED'] as const)(
    'read back as written (%s), the same bytes each time',
    async (codec) => {
      const bytes = await parquetBytes(few, codec);
      expect(await parquetBytes(few, codec)).toEqual(bytes);
      const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
      expect(await parquetReadObjects({ file, compressors })).toEqual(few);
      expect(
        parquetMetadata(file)
          .schema.slice(1)
          .map(({ name }) => name),
      ).toEqual(['url', 'text', 'date', 'metadata']);
    },
  );

  it('hold the pages that the quickstart’s figures were made on', () => {
    const digest = createHash('sha256');
    for (const shard of shards) digest.update(JSON.stringify(rowsOf(shard, defaults.seed)));
    expect(digest.digest('hex')).toBe('987170677d207348741b0b599e4efcd9312f7d5af381db0cd025781a9129aba8');
  });

  it('share no page', () => {
    const texts = shards.flatMap((shard) => rowsOf(shard, defaults.seed).map(({ text }) => text));
    expect(new Set(texts).size).toBe(texts.length);
  });

  describe('that are held out', () => {
    const titles = new Set(
      Object.entries(topics).flatMap(([name, topic]) =>
        Array.from({ length: 300 }, (_, i) => topic(new Random(`title/${name}/${i}`)).title),
      ),
    );
    /** Lessons of a page without its noise: what stands between titles. */
    function lessonsOf({ text, metadata }: { readonly text: string; readonly metadata: string }): string[] {
      const bytes = Buffer.from(text);
      const ends = [...spansOf(metadata).map(([start]) => start), bytes.length];
      const starts = [0, ...spansOf(metadata).map(([, end]) => end)];
      const clean = starts.map((start, i) => bytes.subarray(start, ends[i]).toString()).join('');
      const lessons: string[][] = [];
      for (const block of clean.split('\n\n').filter((text) => text !== '')) {
        if (titles.has(block)) lessons.push([]);
        else lessons.at(-1)!.push(block);
      }
      return lessons.map((paragraphs) => paragraphs.join('\n\n'));
    }
    /** Share of the held-out lessons that another shard has. */
    function seenShare(unseen: boolean): number {
      const drawn = drawShards(defaults.seed, { unseen });
      const lessons = (heldOut: boolean): string[] =>
        drawn
          .filter(({ shard }) => isHeldOut(shard) === heldOut)
          .flatMap(({ rows }) => rows.flatMap(lessonsOf));
      const seen = new Set(lessons(false));
      const asked = lessons(true);
      expect(asked.length).toBeGreaterThan(1000);
      return asked.filter((lesson) => seen.has(lesson)).length / asked.length;
    }

    it('hold no lesson that another shard has, where they are to be unseen', () => {
      expect(seenShare(false)).toBeGreaterThan(0.1);
      expect(seenShare(true)).toBe(0);
    });
  });
});
