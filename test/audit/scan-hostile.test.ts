import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { auditRun } from '#tokensieve/audit/audit-run.js';
import { type Audit, auditSchema } from '#tokensieve/audit/report.js';
import { auditSettings } from '#tokensieve/audit/settings.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { withFolder } from '../dataset/batches.js';
import { writePart } from '../dataset/runs.js';
import { type Doc, makeDocs, type RunOptions, writeRun } from './scan-run.js';

const storage = localStorage();

async function audit(run: string, settings: object = {}): Promise<Audit> {
  const found = await auditRun(auditSettings.parse({ run, ...settings }), {
    storage,
    sink: () => undefined,
    signal: new AbortController().signal,
  });
  return auditSchema.parse(found.audit);
}

const of = (docs: readonly Doc[], options: RunOptions = {}, settings: object = {}): Promise<Audit> =>
  withFolder(async (folder) => audit(await writeRun(folder, docs, options), settings));

describe('any run', () => {
  it('gives the same numbers however it is cut into parts and record batches', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 4 }),
        fc.integer({ min: 1, max: 9 }),
        async (count, seed, at, rowsABatch) => {
          // A row of its own for each document, so that rows are the same whatever part they are in.
          const docs = makeDocs(count, seed, 40).map((doc) => ({ ...doc, row: doc.row * 3 }));
          const cuts = at.filter((cut) => cut <= count).sort((a, b) => a - b);
          const own = { rowIds: 2 };
          const whole = comparable(await of(docs, { ...own, rowsABatch: 1000 }));
          expect(comparable(await of(docs, { ...own, cuts, rowsABatch }))).toEqual(whole);
        },
      ),
      { numRuns: 12 },
    );
  });

  it('adds up: groups, bins and tokens to the eligible and kept tokens of the whole', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 120 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom<RunOptions>({}, { lossPrecision: 'fp16' }, { rowIds: 300 }, { cuts: [0, 1] }),
        async (count, seed, options) => {
          const { totals, kept_by, distributions } = await of(makeDocs(count, seed), options);
          const sum = (values: readonly (number | null)[]) =>
            values.reduce<number>((total, value) => total + (value ?? 0), 0);
          for (const { by, groups, others } of kept_by) {
            const all = [...groups, ...(others === null ? [] : [others])];
            expect(sum(all.map(({ eligible }) => eligible)), by).toBe(totals.eligible);
            expect(sum(all.map(({ kept }) => kept)), by).toBe(totals.kept);
          }
          expect(kept_by.map(({ by }) => by)).toEqual(
            expect.arrayContaining(['excess', 'position', 'document_tokens', 'host', 'topic']),
          );
          for (const { all, kept, dropped, below, above } of distributions) {
            expect(sum(all) + below + above).toBe(totals.eligible);
            expect(sum(kept!)).toBe(totals.kept);
            expect(sum(dropped!)).toBe(sum(all) - totals.kept!);
          }
        },
      ),
      { numRuns: 15 },
    );
  });

  it('gives the same bytes a second time', async () => {
    await withFolder(async (folder) => {
      await writeRun(folder, makeDocs(80, 5));
      expect(JSON.stringify(await audit(folder))).toBe(JSON.stringify(await audit(folder)));
    });
  });
});

/** What does not name parts or places in files. */
function comparable({ run: _, title: __, cost: ___, documents, ...rest }: Audit): unknown {
  const strip = (rows: Audit['documents']['highest']) => rows.map(({ part: ____, ...row }) => row);
  return { ...rest, highest: strip(documents.highest), lowest: strip(documents.lowest) };
}

describe('runs that lack something', () => {
  it('a run without weights: no kept, tokens by excess', async () => {
    const found = await of(makeDocs(60), { weighted: false });
    expect(found.run.kind).toBe('scored');
    expect(found.totals).toMatchObject({ kept: null, weight_sum: null });
    expect(found.distributions.every(({ kept, dropped }) => kept === null && dropped === null)).toBe(true);
    expect(found.kept_by.flatMap(({ groups }) => groups).every(({ kept }) => kept === null)).toBe(true);
    expect(found.tokens.most_kept[0]!.excess!).toBeGreaterThan(found.tokens.most_dropped[0]!.excess!);
    expect(found.repeated.passages.every(({ kept_share }) => kept_share === null)).toBe(true);
  });

  it('a run of one model: no excess, and it says so', async () => {
    const found = await of(makeDocs(60), { weighted: false, columns: ['reference_loss'] });
    expect(found.calibration).toMatchObject({ verdict: 'one-model', zero_excess_share: null });
    expect(found.models.map(({ role }) => role)).toEqual(['reference']);
    expect(found.columns.map(({ name }) => name)).toEqual(['reference_loss']);
    expect(found.tokens).toEqual({ kept_share_overall: null, most_kept: [], most_dropped: [] });
    expect(found.documents).toMatchObject({ highest: [], lowest: [] });
  });

  it('entropies are measured where there are any', async () => {
    const columns = ['reference_loss', 'current_loss', 'reference_entropy', 'current_entropy'] as const;
    const found = await of(makeDocs(20), { columns });
    expect(found.columns.map(({ name }) => name)).toEqual([
      'reference_loss',
      'current_loss',
      'excess',
      'reference_entropy',
      'current_entropy',
    ]);
  });

  it('constant scores are called constant', async () => {
    const same = makeDocs(40).map((doc) => ({ ...doc, current: doc.reference }));
    const found = await of(same);
    expect(found.calibration).toMatchObject({ verdict: 'constant', zero_excess_share: 1 });
    expect(found.calibration.sentence).toMatch(/0 everywhere/);
    const tenths = found.kept_by.find(({ by }) => by === 'excess')!;
    expect(tenths.groups).toHaveLength(1);
  });

  it('empty parts, and a run with nothing eligible', async () => {
    const found = await of([], { cuts: [0, 0] });
    expect(found.totals).toMatchObject({ documents: 0, tokens: 0, eligible: 0, kept: 0 });
    expect(found.kept_by.every(({ groups }) => groups.length === 0)).toBe(true);
    const blank = makeDocs(10).map((doc) => ({
      ...doc,
      reference: doc.ids.map(() => Number.NaN),
      current: doc.ids.map(() => Number.NaN),
      weight: doc.ids.map(() => 0),
    }));
    expect((await of(blank)).totals).toMatchObject({ documents: 10, eligible: 0 });
  });

  it('ids without bound are counted together from 2^20 on', async () => {
    const docs = makeDocs(50).map((doc) => ({
      ...doc,
      ids: doc.ids.map((id, i) => (i % 2 === 0 ? 2 ** 31 - 1 - id : id)),
    }));
    const found = await of(docs);
    expect(found.totals.eligible).toBeGreaterThan(0);
    const listed = [...found.tokens.most_kept, ...found.tokens.most_dropped].map(({ id }) => id);
    expect(Math.max(...listed)).toBeLessThan(2 ** 20);
  });

  it('a folder of weighted files alone: no documents, all the rest', async () => {
    await withFolder(async (folder) => {
      await writeRun(folder, makeDocs(60));
      const whole = await audit(folder);
      await rm(join(folder, 'scored'), { recursive: true });
      const alone = await audit(join(folder, 'weighted'));
      expect(alone.totals).toEqual(whole.totals);
      const axes = ({ kept_by }: Audit) => kept_by.map(({ by }) => by);
      expect(axes(whole)).toEqual([...axes(alone), 'document_tokens', 'host', 'topic']);
    });
  });

  it('the weighted folder of a run finds the documents beside it', async () => {
    await withFolder(async (folder) => {
      await writeRun(folder, makeDocs(60));
      const named = await audit(join(folder, 'weighted'));
      expect(named.kept_by).toEqual((await audit(folder)).kept_by);
    });
  });
});

describe('what is refused, in one line that names the file', () => {
  it.each([
    ['a folder with nothing in it', {}, 'nothing-scored', /no finished parts/],
    ['a column that was not kept', { by: ['language'] }, 'no-such-column', /url, topic/],
    [
      'another tokenizer',
      { tokenizer: 'fixtures/tokenizers/byte-level.json' },
      'tokenizers-differ',
      /byte-level/,
    ],
  ])('%s', async (what, settings, code, message) => {
    await withFolder(async (folder) => {
      if (!what.startsWith('a folder')) await writeRun(folder, makeDocs(5));
      const failure = await audit(folder, settings).catch((error: unknown) => error);
      expect(failure).toMatchObject({ reach: 'usage', code });
      expect(String(failure)).toMatch(message);
    });
  });

  it('packed parts, which have no losses', async () => {
    await withFolder(async (folder) => {
      await writePart(join(folder, 'packed'), {
        columns: ['weight'],
        manifest: (one) => ({ ...one, kind: 'packed' as const }),
      });
      await expect(audit(join(folder, 'packed'))).rejects.toMatchObject({ code: 'nothing-scored' });
    });
  });

  it('a truncated, a damaged and an exchanged file', async () => {
    await withFolder(async (folder) => {
      await writeRun(folder, makeDocs(30), { cuts: [10] });
      const path = join(folder, 'weighted/a/x.parquet/00001.arrow');
      const bytes = await readFile(path);
      await writeFile(path, bytes.subarray(0, bytes.length - 100));
      await expect(audit(folder)).rejects.toMatchObject({ reach: 'input', code: 'arrow-corrupt' });
      await expect(audit(folder)).rejects.toThrow(path);
      await writeFile(path, await readFile(join(folder, 'weighted/a/x.parquet/00000.arrow')));
      await expect(audit(folder)).rejects.toMatchObject({ code: 'part-changed' });
    });
  });

  it('losses that are none, and a manifest that counts otherwise', async () => {
    await withFolder(async (folder) => {
      const strange = 11.015625;
      const docs = makeDocs(30).map((doc) => ({
        ...doc,
        reference: doc.reference.map((loss) => (Number.isNaN(loss) ? loss : strange)),
      }));
      await writeRun(folder, docs, { weighted: false });
      const path = join(folder, 'scored/a/x.parquet/00000.manifest.json');
      const text = await readFile(path, 'utf8');
      // Without its digest, as a manifest that another program wrote: what it counts is still held against the files.
      const { digest: _, ...manifest } = JSON.parse(text) as { counts: { eligible: number }; digest: string };
      manifest.counts.eligible += 1;
      await writeFile(path, JSON.stringify(manifest));
      await expect(audit(folder)).rejects.toMatchObject({ reach: 'input', code: 'counts-differ' });
      await writeFile(path, text);

      const arrow = join(folder, 'scored/a/x.parquet/00000.arrow');
      const bytes = await readFile(arrow);
      // A loss is made infinite: a value that no scorer writes.
      const [finite, infinite] = [Buffer.alloc(4), Buffer.alloc(4)];
      finite.writeFloatLE(strange);
      infinite.writeFloatLE(Number.POSITIVE_INFINITY);
      infinite.copy(bytes, bytes.indexOf(finite));
      await writeFile(arrow, bytes);
      await expect(audit(folder)).rejects.toMatchObject({ reach: 'input', code: 'bad-values' });
      await expect(audit(folder)).rejects.toThrow(/row \d+, position \d+: \w+ is Infinity/);
    });
  });

  it('weights of other losses than those beside them', async () => {
    await withFolder(async (folder) => {
      await writeRun(folder, makeDocs(5));
      await rm(join(folder, 'scored'), { recursive: true });
      await writeRun(folder, makeDocs(5), { weighted: false, tokenizerHash: 'f'.repeat(64) });
      await expect(audit(folder)).rejects.toMatchObject({ reach: 'usage', code: 'other-run' });
    });
  });

  it('stops when it is told to', async () => {
    await withFolder(async (folder) => {
      await writeRun(folder, makeDocs(30));
      const controller = new AbortController();
      controller.abort();
      const options = { storage, sink: () => undefined, signal: controller.signal };
      await expect(auditRun(auditSettings.parse({ run: folder }), options)).rejects.toBe(
        controller.signal.reason,
      );
      expect(existsSync(join(folder, 'audit'))).toBe(false);
    });
  });
});
