import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cutDocument,
  fairCap,
  MAX_DOCUMENT_TOKENS,
  type ReadingDocument,
} from '#tokensieve/audit/reading/reading-document.js';
import { type ReadingRequest, sampleDocuments } from '#tokensieve/audit/reading/sample.js';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import { openSequences } from '#tokensieve/dataset/finished-parts.js';
import { spellOut, writeIds } from '#tokensieve/texts/place-tokens.js';
import { openTokenizer } from '#tokensieve/tokenizer/open.js';
import { temporaryFolder } from '../support/quickstart.js';
import { type AuditRun, auditRun, scoredOf, storage } from './audit-run.js';

/** Text of every row of the run's shards. */
async function allTexts({ shards }: AuditRun): Promise<Map<string, string>> {
  const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 1 << 20, partBytes: 1 << 20 };
  const texts = new Map<string, string>();
  for (const shard of shards) {
    for await (const { rows } of readShard(storage, await planShard(storage, shard, options), options)) {
      for await (const row of rows)
        if (row.kind === 'document') texts.set(`${shard.name}#${row.row}`, row.text);
    }
  }
  return texts;
}

/** Losses and weight of every target in the run's files, by document, in order; and how many there are of each. */
async function allTargets({ weighted }: AuditRun): Promise<Map<string, [number, number, number, number][]>> {
  const targets = new Map<string, [number, number, number, number][]>();
  for (const part of weighted) {
    for await (const { segments, offsets, inputIds, columns } of (
      await openSequences(storage, part)
    ).batches()) {
      for (let row = 0; row + 1 < offsets.length; row++) {
        for (let s = segments.offsets[row]!; s < segments.offsets[row + 1]!; s++) {
          const key = `${part.manifest.shard}#${segments.document[s]}`;
          const list = targets.get(key) ?? [];
          targets.set(key, list);
          const start = offsets[row]! + segments.tokenStart[s]!;
          for (let i = start; i < start + segments.tokenCount[s]!; i++) {
            const [reference, current] = [columns.reference_loss![i]!, columns.current_loss![i]!];
            if (!Number.isNaN(reference)) list.push([inputIds[i]!, reference, current, columns.weight![i]!]);
          }
        }
      }
    }
  }
  return targets;
}

const keyOf = ({ shard, row }: { shard: string; row: number }): string => `${shard}#${row}`;

describe.each(['packed', 'document'] as const)('reading samples of %s rows', (packing) => {
  const folder = temporaryFolder();
  let run: AuditRun;
  let tokenizer: Awaited<ReturnType<typeof openTokenizer>>;
  let request: ReadingRequest;

  beforeAll(async () => {
    run = await auditRun(folder, { packing });
    tokenizer = await openTokenizer({ path: run.tokenizer, workers: 1 });
    request = {
      storage,
      parts: run.weighted,
      documentsFolder: scoredOf(run),
      shards: run.shards,
      tokenizer,
      tokenBytes: null,
      seed: 7,
      count: 20,
      highest: [],
      lowest: [],
    };
  });
  afterAll(() => tokenizer?.close());

  it('shows the text of the shard, every token of it, and the losses and weights of the files', async () => {
    const documents = await sampleDocuments({ ...request, count: 1000 });
    const [texts, targets] = [await allTexts(run), await allTargets(run)];
    // Asked for more than there are, it gives every document once.
    expect(documents.map(keyOf).sort()).toEqual([...texts.keys()].sort());
    for (const document of documents) {
      expect(document).toMatchObject({ source: 'shard', note: null, complete: true, chosen: ['sample'] });
      expect(document.columns['url']).toMatch(/^https?:/);
      expect(document.text).toBe(texts.get(keyOf(document)));
      const { ids, start, end, reference, current, weight } = document.tokens;
      expect(ids.length).toBe(document.totalTokens);
      // Nothing between the tokens and nothing left over.
      const covered = [...ids].reduce(
        (at, _, i) => (start[i]! <= at ? Math.max(at, end[i]!) : Number.NaN),
        0,
      );
      expect(covered).toBe(document.text.length);
      const found = [...ids].flatMap((id, i) =>
        Number.isNaN(reference![i]!) ? [] : [[id, reference![i]!, current![i]!, weight![i]!]],
      );
      expect(found).toEqual(targets.get(keyOf(document)));
    }
  });

  it('draws by the seed, each document once', async () => {
    const [once, again, other] = await Promise.all(
      [7, 7, 8].map(async (seed) => (await sampleDocuments({ ...request, seed })).map(keyOf)),
    );
    expect(once).toHaveLength(20);
    expect(new Set(once).size).toBe(20);
    expect(again).toEqual(once);
    expect(other).not.toEqual(once);
  });

  it('adds the documents that are named, and says why each is there', async () => {
    const [first, second] = await sampleDocuments({ ...request, count: 2 });
    const all = await sampleDocuments({ ...request, count: 1000 });
    const third = all.find((one) => ![keyOf(first!), keyOf(second!)].includes(keyOf(one)))!;
    const documents = await sampleDocuments({
      ...request,
      count: 2,
      highest: [first!, third],
      lowest: [{ shard: 'no such shard', part: 0, row: 0 }],
    });
    const why = new Map(documents.map((document) => [keyOf(document), document.chosen]));
    expect(why).toEqual(
      new Map([
        [keyOf(first!), ['sample', 'highest']],
        [keyOf(second!), ['sample']],
        [keyOf(third), ['highest']],
      ]),
    );
  });

  it('shows ids where there is no tokenizer, and what they spell where there is no text', async () => {
    const [plain] = await sampleDocuments({ ...request, tokenizer: null });
    expect(plain).toMatchObject({ source: 'ids', note: expect.stringContaining('no tokenizer') });
    expect(plain!.text).toBe([...plain!.tokens.ids].join(' '));
    const tokenBytes = (id: number) => (id < 2 ? null : Buffer.from(`[${id}]`));
    const [spelled] = await sampleDocuments({ ...request, shards: null, tokenBytes });
    expect(spelled).toMatchObject({ source: 'rebuilt', note: expect.stringContaining('not known where') });
    expect(spelled!.text).toBe([...spelled!.tokens.ids].map((id) => (id < 2 ? '' : `[${id}]`)).join(''));
  });

  it('refuses a text that is not the one that was scored, and says so', async () => {
    // The shards exchange places: rows are there, texts are others.
    const [web, other] = ['a/web.parquet', 'b/web.parquet'];
    const swapped = run.shards.map((shard) => ({
      ...shard,
      path:
        shard.name === web || shard.name === other
          ? join(run.corpus, shard.name === web ? other : web)
          : shard.path,
    }));
    const documents = await sampleDocuments({ ...request, shards: swapped, count: 1000 });
    const refused = documents.filter(({ source }) => source === 'ids');
    expect(refused.map(({ shard }) => shard)).toEqual(
      documents.map(({ shard }) => shard).filter((name) => name.endsWith('parquet')),
    );
    for (const { note } of refused) expect(note).toContain('digest differs');
    // Ids that agree are no proof: without a digest no text is shown.
    const undigested = await sampleDocuments({ ...request, documentsFolder: null, shards: swapped });
    const notes = undigested.filter(({ shard }) => shard.endsWith('parquet')).map(({ note }) => note);
    expect(notes.length).toBeGreaterThan(0);
    for (const note of notes) expect(note).toContain('no documents file says which text was scored');
  });

  it('goes on when a shard cannot be read', async () => {
    const copy = join(folder, `gone-${packing}`);
    cpSync(run.corpus, copy, { recursive: true });
    rmSync(join(copy, 'b/web.parquet'));
    const shards = run.shards.map((shard) => ({ ...shard, path: join(copy, shard.name) }));
    const documents = await sampleDocuments({ ...request, shards, count: 1000 });
    const lost = documents.filter(({ note }) => note !== null);
    expect(new Set(lost.map(({ shard }) => shard))).toEqual(new Set(['b/web.parquet']));
    expect(lost[0]!.note).toContain('b/web.parquet');
  });
});

describe('places of tokens rebuilt from ids', () => {
  const bytes: Record<number, Uint8Array | null> = {
    0: null,
    1: Buffer.from('ab'),
    2: Uint8Array.of(0xe2, 0x82),
    3: Uint8Array.of(0xac),
    4: Uint8Array.of(0xff),
    5: Buffer.from('😀'),
  };
  const spell = (...ids: number[]) => spellOut(Int32Array.from(ids), (id) => bytes[id] ?? null);

  it('gives pieces of one character its whole range, and control tokens none', () => {
    const { text, start, end } = spell(0, 1, 2, 3, 5, 1, 0);
    expect(text).toBe('ab€😀ab');
    expect([...start]).toEqual([0, 0, 2, 2, 3, 5, 7]);
    expect([...end]).toEqual([0, 2, 3, 3, 5, 7, 7]);
  });

  it('marks bytes that are no text', () => {
    const { text, start, end } = spell(2, 1, 4, 3);
    expect(text).toBe('��ab��');
    expect([...start]).toEqual([0, 2, 4, 5]);
    expect([...end]).toEqual([2, 4, 5, 6]);
  });

  it('writes ids', () => {
    const { text, start, end } = writeIds(Int32Array.of(5, 123, 7));
    expect([...start].map((from, i) => text.slice(from, end[i]))).toEqual(['5', '123', '7']);
  });
});

describe('the size of samples', () => {
  it('cuts the longest first, and no more than needed', () => {
    expect(fairCap([10, 20, 30], 60)).toBe(Number.POSITIVE_INFINITY);
    expect(fairCap([10, 20, 30], 50)).toBe(20);
    expect(fairCap([10, 20, 30], 30)).toBe(10);
    expect(fairCap([100, 100], 99)).toBe(49);
  });

  it('cuts the text with the tokens', () => {
    const ids = Int32Array.of(1, 2, 3);
    const document: ReadingDocument = {
      shard: 's',
      part: 0,
      row: 0,
      chosen: ['sample'],
      columns: {},
      text: 'abcdef',
      source: 'shard',
      note: null,
      tokens: {
        ids,
        start: Int32Array.of(0, 2, 4),
        end: Int32Array.of(2, 4, 6),
        reference: Float32Array.of(1, 2, 3),
        current: null,
        weight: null,
      },
      totalTokens: 3,
      complete: true,
    };
    expect(cutDocument(document, 3)).toBe(document);
    expect(cutDocument(document, 2)).toMatchObject({ text: 'abcd', complete: false, totalTokens: 3 });
    expect([...cutDocument(document, 2).tokens.reference!]).toEqual([1, 2]);
    expect(MAX_DOCUMENT_TOKENS).toBe(4000);
  });
});
