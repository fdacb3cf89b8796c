import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRun } from '#tokensieve/audit/audit-run.js';
import { type Audit, auditSchema } from '#tokensieve/audit/report.js';
import { auditSettings } from '#tokensieve/audit/settings.js';
import { hostOf } from '#tokensieve/dataset/domains.js';
import { readTokenTexts, type TokenTexts } from '#tokensieve/texts/token-texts.js';
import { hashTokenizer } from '#tokensieve/tokenizer/open.js';
import {
  figures,
  groupBy,
  type NaiveDocument,
  type NaiveToken,
  naiveDocuments,
  naiveRows,
  naiveTokens,
} from './naive.js';
import { type Doc, makeDocs, storage, writeRun } from './scan-run.js';

const TOKENIZER = 'fixtures/tokenizers/byte-level.json';
/** A passage put into some documents, dropped from its second token on. */
const PASSAGE = Array.from({ length: 20 }, (_, i) => 620 - i);

let folder: string;
let audit: Audit;
let tokens: NaiveToken[];
let documents: Map<number, NaiveDocument>;
let texts: TokenTexts;

const run = (out: string, settings: object = {}) =>
  auditRun(auditSettings.parse({ run: out, ...settings }), {
    storage,
    sink: () => undefined,
    signal: new AbortController().signal,
  });

/** Puts the passage at the end of every eighth document of the middle length. */
function withPassage(docs: readonly Doc[]): Doc[] {
  return docs.map((doc) => {
    if (doc.row % 8 !== 0 || doc.ids.length > 40) return doc;
    const add = (values: readonly number[], more: (i: number) => number): number[] => [
      ...values,
      ...PASSAGE.map((_, i) => more(i)),
    ];
    return {
      ...doc,
      ids: add(doc.ids, (i) => PASSAGE[i]!),
      reference: add(doc.reference, () => 3),
      current: add(doc.current, (i) => (i === 0 ? 5 : 1.5)),
      weight: add(doc.weight, (i) => (i === 0 ? 1 : 0)),
    };
  });
}

const docs = withPassage(makeDocs(400));
const planted = docs.filter(({ ids }) => ids.at(-1) === PASSAGE.at(-1) && ids.length >= 22);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokensieve-'));
  await writeRun(folder, docs, {
    cuts: [150, 151, 300],
    tokenizerHash: await hashTokenizer(TOKENIZER),
    quarantined: { 'null-text': 3, 'bad-json': 1 },
  });
  audit = (await run(folder, { tokenizer: TOKENIZER, by: ['topic'] })).audit;
  tokens = naiveTokens(folder);
  documents = naiveDocuments(folder);
  texts = await readTokenTexts(TOKENIZER);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

const keptBy = (by: string) => audit.kept_by.find((one) => one.by === by)!;

describe('the numbers are those of a plain recount', () => {
  it('totals', () => {
    expect(auditSchema.parse(audit)).toEqual(audit);
    const all = figures(tokens);
    expect(audit.totals).toMatchObject({
      documents: docs.length,
      text_bytes: docs.reduce((sum, { ids }) => sum + 3 * ids.length, 0),
      tokens: docs.reduce((sum, { ids }) => sum + ids.length, 0),
      eligible: all.eligible,
      kept: all.kept,
      weight_sum: all.kept,
      quarantined_rows: 4,
      quarantined: { 'null-text': 3, 'bad-json': 1 },
    });
    expect(audit.run).toMatchObject({ kind: 'weighted', parts: 4, shards: 1, conventions: { loss: 'nats' } });
    expect(audit.tokens.kept_share_overall).toBeCloseTo(all.kept / all.eligible, 12);
    expect(audit.calibration).toMatchObject({
      verdict: 'informative',
      zero_excess_share: tokens.filter(({ excess }) => excess === 0).length / tokens.length,
    });
  });

  it.each([
    ['reference_loss', (token: NaiveToken) => token.reference],
    ['current_loss', (token: NaiveToken) => token.current],
    ['excess', (token: NaiveToken) => token.excess],
  ] as const)('spread of %s', (name, value) => {
    const values = tokens.map(value).sort((a, b) => a - b);
    const column = audit.columns.find((one) => one.name === name)!;
    expect(column).toMatchObject({ count: values.length, min: values[0], max: values.at(-1) });
    expect(column.mean).toBeCloseTo(values.reduce((sum, one) => sum + one, 0) / values.length, 10);
    for (const { q, value: found } of column.quantiles) {
      const exact = values[Math.max(1, Math.ceil(q * values.length)) - 1]!;
      expect(Math.abs(found - exact)).toBeLessThanOrEqual(Math.abs(exact) / 128 + 1e-30);
    }
    const shown = audit.distributions.find((one) => one.column === name)!;
    const bin = (kept: boolean | null) =>
      shown.all.map((_, i) => {
        const low = shown.lower + i * shown.width;
        return tokens.filter(
          (token) =>
            value(token) >= low && value(token) < low + shown.width && (kept === null || token.kept === kept),
        ).length;
      });
    expect(shown.all).toEqual(bin(null));
    expect(shown.kept).toEqual(bin(true));
    expect(shown.dropped).toEqual(bin(false));
    expect(shown.below + shown.above).toBe(0);
  });

  it.each([
    ['reference_loss', (token: NaiveToken) => token.reference],
    ['current_loss', (token: NaiveToken) => token.current],
    ['excess', (token: NaiveToken) => token.excess],
  ] as const)('tenths of %s', (name, value) => {
    const { groups, ordered } = keptBy(name);
    expect(ordered).toBe(true);
    for (const { low, high, name: _, ...found } of groups) {
      const own = tokens.filter((token) => value(token) >= low! && (high === null || value(token) < high));
      expect(found).toEqual(figures(own));
      expect(found.eligible / tokens.length).toBeGreaterThan(0.07);
      expect(found.eligible / tokens.length).toBeLessThan(0.13);
    }
    expect(groups).toHaveLength(10);
  });

  const doubling = (n: number): string =>
    n < 2 ? String(n) : `${2 ** Math.floor(Math.log2(n))} to ${2 ** Math.floor(Math.log2(n) + 1) - 1}`;

  it.each([
    ['position', (token: NaiveToken) => doubling(token.position)],
    ['document_tokens', (token: NaiveToken) => doubling(documents.get(token.document)!.tokens)],
    ['host', (token: NaiveToken) => hostOf(documents.get(token.document)!.url ?? '') ?? '(none)'],
    ['topic', (token: NaiveToken) => documents.get(token.document)!.topic ?? '(none)'],
    ['token_class', (token: NaiveToken) => texts.classOf(token.id)],
  ])('kept share by %s', (by, key) => {
    const naive = groupBy(tokens, key);
    const { groups, groups_total, others } = keptBy(by);
    expect(groups_total).toBe(naive.size);
    for (const { name, low: _, high: __, ...found } of groups)
      expect(found).toEqual(figures(naive.get(name)!));
    expect(new Set(groups.map(({ name }) => name)).size).toBe(Math.min(40, naive.size));
    const rest = [...naive].filter(([name]) => !groups.some((group) => group.name === name));
    if (rest.length === 0) expect(others).toBeNull();
    else expect(others).toMatchObject(figures(rest.flatMap(([, own]) => own)));
    if (by === 'host') expect(rest.length).toBeGreaterThan(0);
    if (by === 'host')
      expect(Math.min(...groups.map(({ eligible }) => eligible))).toBeGreaterThanOrEqual(
        Math.max(...rest.map(([, own]) => own.length)),
      );
  });

  it('tokens most kept and most dropped, by the bound of their share', () => {
    const z = 1.96;
    // Wilson's interval, written as the roots of (p − share)² = z² · share · (1 − share) / n.
    const bounds = (kept: number, n: number) => {
      const p = kept / n;
      const [a, b, c] = [1 + (z * z) / n, -(2 * p + (z * z) / n), p * p];
      const root = Math.sqrt(b * b - 4 * a * c);
      return [(-b - root) / (2 * a), (-b + root) / (2 * a)] as const;
    };
    const rows = [...groupBy(tokens, ({ id }) => id)]
      .map(([id, own]) => ({ id, ...figures(own) }))
      .filter(({ eligible }) => eligible >= 20)
      .map((row) => ({ ...row, bounds: bounds(row.kept, row.eligible) }));
    const top = (score: (row: (typeof rows)[number]) => number) =>
      [...rows].sort((a, b) => score(b) - score(a) || b.eligible - a.eligible || a.id - b.id).slice(0, 30);
    const strip = (found: Audit['tokens']['most_kept']) =>
      found.map(({ text: _, class: __, examples: ___, ...row }) => row);
    const plain = (found: typeof rows) => found.map(({ bounds: _, ...row }) => row);
    expect(strip(audit.tokens.most_kept)).toEqual(plain(top((row) => row.bounds[0])));
    expect(strip(audit.tokens.most_dropped)).toEqual(plain(top((row) => -row.bounds[1])));
    expect(audit.tokens.most_dropped.map(({ id }) => id)).toEqual(expect.arrayContaining(PASSAGE.slice(1)));
  });

  it('examples are places of the token, with its neighbours, and a seed draws others', async () => {
    const rows = naiveRows(folder);
    for (const { id, text, examples } of audit.tokens.most_kept) {
      expect(text).toBe(texts.text(id));
      expect(examples).toHaveLength(3);
      for (const example of examples) {
        const places = tokens.filter((token) => token.id === id && token.document === example.row);
        expect(places.map(({ excess, kept }) => [excess, kept])).toContainEqual([
          example.excess,
          example.kept,
        ]);
        const around = (ids: readonly number[], at: number) => [
          texts.join(ids.slice(Math.max(0, at - 12), at)),
          texts.join(ids.slice(at + 1, at + 13)),
        ];
        const found = rows.flatMap((ids) => ids.flatMap((one, at) => (one === id ? [around(ids, at)] : [])));
        expect(found).toContainEqual([example.before, example.after]);
      }
    }
    const other = (await run(folder, { tokenizer: TOKENIZER, seed: 2 })).audit;
    expect(other.tokens.most_kept.map(({ id }) => id)).toEqual(audit.tokens.most_kept.map(({ id }) => id));
    expect(other.tokens.most_kept).not.toEqual(audit.tokens.most_kept);
  });

  it('documents of highest and lowest mean excess', () => {
    const naive = [...groupBy(tokens, ({ document }) => document)]
      .map(([row, own]) => ({ row, ...figures(own) }))
      .filter(({ eligible }) => eligible >= audit.documents.minimum_tokens);
    const falling = naive.sort((a, b) => b.excess - a.excess || a.row - b.row);
    const strip = (found: Audit['documents']['highest']) =>
      found.map(({ shard: _, part: __, columns: ___, excerpt: ____, ...row }) => row);
    expect(strip(audit.documents.highest)).toEqual(falling.slice(0, 20));
    const rising = [...naive].sort((a, b) => a.excess - b.excess || a.row - b.row);
    expect(strip(audit.documents.lowest)).toEqual(rising.slice(0, 20));
    for (const { row, part, columns, excerpt } of audit.documents.highest) {
      expect(columns['url']).toBe(docs[row]!.url);
      expect(part).toBe([150, 151, 300].filter((cut) => row >= cut).length);
      const first = docs[row]!.reference.findIndex((loss) => !Number.isNaN(loss));
      expect(excerpt!.startsWith(texts.text(docs[row]!.ids[first]!)) || excerpt!.startsWith('\ufffd')).toBe(
        true,
      );
    }
  });

  it('a passage that comes again, whole, with its counts', () => {
    const [first] = audit.repeated.passages;
    expect(planted.length).toBeGreaterThan(10);
    expect(first!.ids).toEqual(PASSAGE);
    expect(first).toMatchObject({
      occurrences: planted.length,
      documents: planted.length,
      tokens: planted.length * PASSAGE.length,
      kept_share: 1 / PASSAGE.length,
      excess: (2 - 1.5 * (PASSAGE.length - 1)) / PASSAGE.length,
      text: texts.join(PASSAGE),
    });
  });
});
