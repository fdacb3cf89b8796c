import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { describe, expect, it } from 'vitest';
import { exportRun } from '#tokensieve/export/export-run.js';
import { headerOf } from '#tokensieve/export/nanogpt.js';
import { type ExportInput, parseExport } from '#tokensieve/export/settings.js';
import { filesBelow } from '../support/cli.js';
import { temporaryFolder } from '../support/quickstart.js';
import {
  BOS,
  type CorpusSpec,
  EOS,
  exportTo,
  float32s,
  int32s,
  int64s,
  joined,
  lossOf,
  storage,
  type Token,
  uint16s,
  uint32s,
  writeCorpus,
} from './support.js';

const root = temporaryFolder();
const folder = (): string => mkdtempSync(join(root, 'run-'));

/** 0 and 1 as a method that keeps or drops gives them. */
const bits = (document: number, position: number): number => ((document * 5 + position * 3) % 7 < 4 ? 1 : 0);
const fractions = (document: number, position: number): number => ((document + position * 3) % 9) / 8;

const rules = fc
  .record({
    length: fc.integer({ min: 2, max: 40 }),
    packing: fc.constantFrom('packed' as const, 'document' as const),
    attention: fc.constantFrom('across' as const, 'within' as const),
    overlapShare: fc.integer({ min: 1, max: 8 }),
    bosId: fc.constantFrom(BOS, null),
    eosId: fc.constantFrom(EOS, null),
  })
  .map(({ overlapShare, ...rest }) => ({
    ...rest,
    overlap: Math.max(1, Math.min(rest.length - 1, Math.floor((rest.length * overlapShare) / 9))),
  }));

const corpora = fc.record({
  rules,
  // Enough in the first document for there to be a target, whatever the rules.
  parts: fc
    .array(fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 3,
    })
    .map(([first = [], ...rest]) => [[5, ...first], ...rest]),
  shardBytes: fc.constantFrom(2048, 1 << 30),
});

const files = (out: string, pattern: RegExp): string[] =>
  filesBelow(out).filter((path) => pattern.test(path));
const idsOf = (tokens: readonly Token[]): number[] => tokens.map(({ id }) => id);
const weightsOf = (tokens: readonly Token[]): number[] => tokens.map(({ weight }) => weight);

/** Lengths of the documents, in order. */
function documentLengths(tokens: readonly Token[]): number[] {
  const counts = new Map<number, number>();
  for (const { document } of tokens) counts.set(document, (counts.get(document) ?? 0) + 1);
  return [...counts.values()];
}

async function check(
  spec: Omit<CorpusSpec, 'weight'>,
  weight: CorpusSpec['weight'],
  test: (run: string, out: string, tokens: readonly Token[]) => Promise<void>,
): Promise<void> {
  const run = folder();
  try {
    const tokens = await writeCorpus(run, { ...spec, weight });
    await test(run, join(run, 'out'), tokens.flat());
  } finally {
    rmSync(run, { recursive: true });
  }
}

describe('formats of one stream hold every token once, with its weight', () => {
  it('nanogpt', async () => {
    await fc.assert(
      fc.asyncProperty(corpora, async ({ shardBytes, ...spec }) => {
        await check(spec, fractions, async (run, out, tokens) => {
          await exportTo({ run, to: 'nanogpt', out, shard_bytes: shardBytes });
          expect(uint16s(joined(files(out, /train(_\d+)?\.bin$/)))).toEqual(idsOf(tokens));
          expect(float32s(joined(files(out, /\.weights\.bin$/)))).toEqual(weightsOf(tokens));
        });
      }),
      { numRuns: 10 },
    );
  });

  it('olmo and datatrove, and where documents end', async () => {
    await fc.assert(
      fc.asyncProperty(corpora, async ({ shardBytes, ...spec }) => {
        await check(spec, bits, async (run, out, tokens) => {
          await exportTo({ run, to: 'olmo', out, shard_bytes: shardBytes, token_type: 'uint32' });
          expect(uint32s(joined(files(out, /\/tokens\/\d+\.npy$/)))).toEqual(idsOf(tokens));
          expect([...joined(files(out, /\/label_mask\/\d+\.npy$/))]).toEqual(weightsOf(tokens));

          await exportTo({ run, to: 'datatrove', out: `${out}-2`, shard_bytes: shardBytes });
          const datatrove = files(`${out}-2`, /\.ds$/);
          expect(uint16s(joined(datatrove))).toEqual(idsOf(tokens));
          expect([...joined(datatrove.map((path) => `${path}.loss`))]).toEqual(weightsOf(tokens));
          const lengths = datatrove.flatMap((path) => {
            const ends = int64s(readFileSync(`${path}.index`));
            expect(ends.at(-1)).toBe(readFileSync(path).length / 2);
            return ends.map((end, i) => end - (ends[i - 1] ?? 0));
          });
          expect(lengths).toEqual(documentLengths(tokens));
        });
      }),
      { numRuns: 6 },
    );
  });

  it('nanogpt: headers as llm.c and NeMo read them, and the same ids and weights behind them', async () => {
    const kinds = fc.constantFrom('llmc' as const, 'nemo' as const);
    const types = fc.constantFrom('uint16' as const, 'uint32' as const);
    await fc.assert(
      fc.asyncProperty(corpora, kinds, types, async ({ shardBytes, ...spec }, header, token_type) => {
        await check(spec, fractions, async (run, out, tokens) => {
          await exportTo({ run, to: 'nanogpt', out, shard_bytes: shardBytes, header, token_type });
          const wide = token_type === 'uint32';
          const found = files(out, /train(_\d+)?\.bin$/).flatMap((path) => {
            const bytes = readFileSync(path);
            const numbers = int32s(bytes.subarray(0, 1024));
            const ids = [...(wide ? uint32s : uint16s)(bytes.subarray(1024))];
            const [magic, version] =
              header === 'nemo' ? [278895051, 1] : wide ? [20240801, 7] : [20240520, 1];
            const size = header === 'nemo' ? (wide ? 4 : 2) : 0;
            expect(numbers.slice(0, 4)).toEqual([magic, version, ids.length, size]);
            expect(numbers.slice(4).every((number) => number === 0)).toBe(true);
            return ids;
          });
          expect(found).toEqual(idsOf(tokens));
          const beside = files(out, /\.weights\.bin$/);
          expect([...float32s(joined(beside))]).toEqual(weightsOf(tokens));
        });
      }),
      { numRuns: 6 },
    );
    expect(() => headerOf({ header: 'llmc', token_type: 'uint16' }, 2 ** 31)).toThrow(
      /smaller --shard-bytes/,
    );
  });

  it('megatron: two indexed data sets with one index', async () => {
    const sidecars = fc.constantFrom('weights' as const, 'mask' as const, 'labels' as const);
    await fc.assert(
      fc.asyncProperty(corpora, sidecars, async ({ shardBytes, ...spec }, sidecar) => {
        await check(spec, bits, async (run, out, tokens) => {
          await exportTo({ run, to: 'megatron', out, shard_bytes: shardBytes, sidecar });
          const ids = files(out, /_document\.bin$/).flatMap((path) => readIndexed(path));
          const beside = files(out, new RegExp(`_${sidecar}\\.bin$`)).flatMap((path) => readIndexed(path));
          expect(ids.flat()).toEqual(idsOf(tokens));
          expect(ids.map((document) => document.length)).toEqual(documentLengths(tokens));
          expect(beside.map((document) => document.length)).toEqual(documentLengths(tokens));
          const expected = tokens.map(({ id, weight }) =>
            sidecar === 'labels' ? (weight > 0 ? id : -100) : weight,
          );
          expect(beside.flat()).toEqual(expected);
        });
      }),
      { numRuns: 8 },
    );
  });

  it('parquet, a row a token', async () => {
    await fc.assert(
      fc.asyncProperty(
        corpora,
        fc.constantFrom('none' as const, 'zstd' as const),
        async (given, compression) => {
          const { shardBytes, ...spec } = given;
          await check(spec, fractions, async (run, out, tokens) => {
            await exportTo({ run, to: 'parquet', out, shard_bytes: shardBytes, compression });
            const rows = (await Promise.all(files(out, /\.parquet$/).map(readParquet))).flat();
            expect(rows.map(({ token }) => token)).toEqual(idsOf(tokens));
            expect(rows.map(({ weight }) => weight)).toEqual(weightsOf(tokens));
            expect(rows.map(({ document }) => Number(document))).toEqual(
              tokens.map(({ document }) => document),
            );
            expect(new Set(rows.map(({ shard }) => shard))).toEqual(new Set(['a/web.parquet']));
            const places = await placesInSource(run, rows);
            expect(places.map(({ token, weight }) => [token, weight])).toEqual(
              rows.map(({ token, weight }) => [token, weight]),
            );
            // In order, and none twice.
            const order = places.map(({ place: [a, b, c] }) => (a * 1e6 + b) * 1e6 + c);
            expect(order.every((place, i) => i === 0 || place > (order[i - 1] ?? 0))).toBe(true);
          });
        },
      ),
      { numRuns: 6 },
    );
  });
});

describe('formats of rows', () => {
  it('hf: the rows, labels where there is weight, losses, positions', async () => {
    await fc.assert(
      fc.asyncProperty(corpora, async ({ shardBytes, ...spec }) => {
        await check(spec, fractions, async (run, out, tokens) => {
          const report = await exportTo({
            run,
            to: 'hf',
            out,
            shard_bytes: shardBytes,
            documents: 'together',
          });
          const state = JSON.parse(readFileSync(join(out, 'train/state.json'), 'utf8'));
          const names: string[] = state._data_files.map(({ filename }: { filename: string }) => filename);
          expect(names.map((name) => join(out, 'train', name))).toEqual(files(out, /\.arrow$/));
          const rows = names.flatMap((name) => {
            const table = tableFromIPC(readFileSync(join(out, 'train', name)));
            return table.toArray().map((row) => rowOf(row.toJSON()));
          });
          expect(rows.length).toBe(report.rows);
          const source = await sourceRows(run);
          expect(rows.map(({ input_ids }) => input_ids)).toEqual(source.map(({ ids }) => ids));
          expect(rows.map(({ loss_weights }) => loss_weights)).toEqual(source.map(({ weights }) => weights));
          expect(rows.map(({ reference_loss }) => reference_loss)).toEqual(
            source.map(({ losses }) => losses),
          );
          const labels = source.map(({ ids, weights }) =>
            ids.map((id, i) => ((weights[i] ?? 0) > 0 ? id : -100)),
          );
          expect(rows.map((row) => row['labels'])).toEqual(labels);
          const kept = labels.flat().filter((label) => label !== -100).length;
          expect(kept).toBe(tokens.filter(({ weight }) => weight > 0).length);
          expect(report.kept).toBe(kept);
          const within = spec.rules.attention === 'within';
          expect(rows.map((row) => row['position_ids'])).toEqual(
            source.map(({ counts }) =>
              within ? counts.flatMap((count) => Array.from({ length: count }, (_, i) => i)) : undefined,
            ),
          );
        });
      }),
      { numRuns: 8 },
    );
  });

  it('hf: labels of every target, and columns that trainers ask for, under a recipe of their own', async () => {
    const spec = {
      parts: [[5, 9, 3], [20]],
      rules: { packing: 'packed', length: 8, overlap: 1, bosId: BOS, eosId: EOS, attention: 'within' },
    } as const;
    await check(spec, bits, async (run, out) => {
      await exportTo({ run, to: 'hf', out: join(out, 'kept'), documents: 'together' });
      // What was begun before there was a choice goes on as it was begun, said or not.
      expect((await exportTo({ run, to: 'hf', out: join(out, 'kept') })).resumed).toBeGreaterThan(0);
      await exportTo({
        run,
        to: 'hf',
        out: join(out, 'all'),
        documents: 'together',
        labels: 'eligible',
        add: ['attention_mask', 'seq_lengths', 'loss_scale'],
      });
      const rowsOf = (folder: string) =>
        files(join(out, folder), /\.arrow$/).flatMap((path) =>
          tableFromIPC(readFileSync(path))
            .toArray()
            .map((row) => rowOf(row.toJSON())),
        );
      const [kept, all, source] = [rowsOf('kept'), rowsOf('all'), await sourceRows(run)];
      const targets = source.map(({ ids, losses }) =>
        ids.map((id, i) => (i > 0 && !Number.isNaN(losses[i]) ? id : -100)),
      );
      expect(all.map((row) => row['labels'])).toEqual(targets);
      const count = (labels: unknown[]) => labels.flat().filter((label) => label !== -100).length;
      expect(count(all.map((row) => row['labels']))).toBeGreaterThan(count(kept.map((row) => row['labels'])));
      expect(all.map((row) => row['attention_mask'])).toEqual(source.map(({ ids }) => ids.map(() => 1)));
      expect(all.map((row) => row['seq_lengths'])).toEqual(source.map(({ counts }) => counts));
      expect(all.map((row) => row['loss_scale'])).toEqual(source.map(({ weights }) => weights));
      expect(kept[0]).not.toHaveProperty('seq_lengths');
      const recipeOf = (folder: string) =>
        JSON.parse(readFileSync(join(out, folder, 'export.json'), 'utf8')).recipe.settings;
      // What came later stands in a recipe only where it changes bytes: exports of earlier versions are gone on with.
      expect(recipeOf('kept')).toEqual({ shard_bytes: 512 << 20, threshold: null });
      expect(recipeOf('all')).toMatchObject({
        labels: 'eligible',
        add: ['attention_mask', 'seq_lengths', 'loss_scale'],
      });
      // Files that a reader's cache leaves beside the data are no data.
      expect(readFileSync(join(out, 'all', 'README.md'), 'utf8')).toContain('path: train/data-*.arrow\n');
    });
  });

  it('hf: documents that do not see each other are rows of their own, every target once', async () => {
    await fc.assert(
      fc.asyncProperty(corpora, async ({ shardBytes, ...given }) => {
        const spec = { ...given, rules: { ...given.rules, attention: 'within' as const } };
        await check(spec, fractions, async (run, out, tokens) => {
          const report = await exportTo({ run, to: 'hf', out, shard_bytes: shardBytes });
          const rows = files(out, /\.arrow$/).flatMap((path) =>
            tableFromIPC(readFileSync(path))
              .toArray()
              .map((row) => rowOf(row.toJSON())),
          );
          expect(report.rows).toBe(rows.length);
          // Cut from the rows at their segments, by hand.
          const pieces = (await sourceRows(run)).flatMap(({ ids, weights, losses, counts }) =>
            counts.map((count, i) => {
              const from = counts.slice(0, i).reduce((sum, n) => sum + n, 0);
              const cut = <T>(values: readonly T[]) => values.slice(from, from + count);
              return { ids: cut(ids), weights: cut(weights), losses: cut(losses) };
            }),
          );
          const kept = pieces.filter(({ losses }) => losses.some((loss) => !Number.isNaN(loss)));
          expect(rows.map(({ input_ids }) => input_ids)).toEqual(kept.map(({ ids }) => ids));
          expect(rows.map(({ loss_weights }) => loss_weights)).toEqual(kept.map(({ weights }) => weights));
          expect(rows.map(({ reference_loss }) => reference_loss)).toEqual(kept.map(({ losses }) => losses));
          expect(report.kept).toBe(tokens.filter(({ weight }) => weight > 0).length);
          // No trainer learns a row's first id.
          expect(kept.every(({ weights }) => weights[0] === 0)).toBe(true);
          expect(rows.every((row) => row['position_ids'] === undefined)).toBe(true);
          const info = JSON.parse(readFileSync(join(out, 'train/dataset_info.json'), 'utf8'));
          expect(info.splits.train.num_examples).toBe(rows.length);
        });
      }),
      { numRuns: 8 },
    );
  });

  it('hf: what a trainer could lose without a word is said, and documents that see each other stay together', async () => {
    const within = { parts: [[9, 30]], rules: { ...plain, attention: 'within' as const } };
    const told = async (run: string, settings: Omit<ExportInput, 'run' | 'out'>) => {
      const messages: string[] = [];
      await exportRun(parseExport({ ...settings, run, out: join(folder(), 'out') }, 'test'), {
        storage,
        replace: false,
        signal: new AbortController().signal,
        sink: (event) => event.event === 'warning' && messages.push(event.message),
      });
      return messages;
    };
    await check(within, bits, async (run) => {
      expect(await told(run, { to: 'hf' })).toEqual([]);
      expect(await told(run, { to: 'hf', documents: 'together' })).toEqual([
        expect.stringContaining('--documents apart'),
      ]);
      expect(await told(run, { to: 'olmo' })).toEqual([
        expect.stringContaining('mask attention by document'),
      ]);
    });
    await check({ parts: [[9, 30]], rules: plain }, fractions, async (run) => {
      expect(await told(run, { to: 'hf' })).toEqual([expect.stringContaining('loss_weights alone')]);
      expect(await told(run, { to: 'hf', threshold: 0.5 })).toEqual([]);
      expect(await told(run, { to: 'nanogpt', header: 'llmc' })).toEqual([
        expect.stringContaining('ids alone'),
      ]);
      await expect(told(run, { to: 'hf', documents: 'apart' })).rejects.toMatchObject({
        code: 'documents-joined',
      });
    });
  });

  it('parquet, a row a sequence; null where there is no loss', async () => {
    await fc.assert(
      fc.asyncProperty(corpora, async ({ shardBytes, ...spec }) => {
        await check(spec, fractions, async (run, out) => {
          await exportTo({
            run,
            to: 'parquet',
            out,
            shard_bytes: shardBytes,
            rows: 'sequence',
            compression: 'zstd',
          });
          const rows = (await Promise.all(files(out, /\.parquet$/).map(readParquet))).flat();
          const source = await sourceRows(run);
          expect(rows.map(({ input_ids }) => input_ids)).toEqual(source.map(({ ids }) => ids));
          expect(rows.map(({ weight }) => weight)).toEqual(source.map(({ weights }) => weights));
          const losses = source.map((row) => row.losses.map((loss) => (Number.isNaN(loss) ? null : loss)));
          expect(rows.map(({ reference_loss }) => reference_loss)).toEqual(losses);
          expect(rows.map(({ segment_tokens }) => segment_tokens)).toEqual(
            source.map(({ counts }) => counts),
          );
        });
      }),
      { numRuns: 6 },
    );
  });

  it('scored files: every target has weight 1', async () => {
    const run = folder();
    const spec = {
      rules: { ...plain, attention: 'within' as const },
      parts: [[9, 30], [4]],
      kind: 'scored' as const,
    };
    const tokens = (await writeCorpus(run, { ...spec, weight: () => 1 })).flat();
    const out = join(run, 'out');
    await exportTo({ run, to: 'nanogpt', out, sidecar: 'mask' });
    expect([...joined(files(out, /\.mask\.bin$/))]).toEqual(weightsOf(tokens));
    const packed = folder();
    await writeCorpus(packed, { ...spec, kind: 'packed', weight: () => 1 });
    await exportTo({ run: packed, to: 'nanogpt', out: join(packed, 'out'), sidecar: 'mask' });
    expect([...joined(files(join(packed, 'out'), /\.mask\.bin$/))]).toEqual(weightsOf(tokens));
    expect(lossOf(0, 1)).toBe(0.125);
  });
});

const plain = {
  length: 16,
  packing: 'packed' as const,
  attention: 'across' as const,
  overlap: 4,
  bosId: BOS,
  eosId: EOS,
};

/** The documents of an indexed data set, by its own index. */
function readIndexed(bin: string): number[][] {
  const index = readFileSync(bin.replace(/\.bin$/, '.idx'));
  expect(index.toString('latin1', 0, 9)).toBe('MMIDIDX\0\0');
  expect(index.readBigUInt64LE(9)).toBe(1n);
  const type = index.readUInt8(17);
  const sequences = Number(index.readBigUInt64LE(18));
  expect(Number(index.readBigUInt64LE(26))).toBe(sequences + 1);
  const lengths = int32s(index.subarray(34, 34 + 4 * sequences));
  const pointers = int64s(index.subarray(34 + 4 * sequences, 34 + 12 * sequences));
  const documents = int64s(index.subarray(34 + 12 * sequences));
  expect(documents).toEqual(Array.from({ length: sequences + 1 }, (_, i) => i));
  const data = readFileSync(bin);
  const [bytes, read] = ({
    1: [1, (part: Buffer) => [...part]],
    4: [4, int32s],
    7: [4, float32s],
    8: [2, uint16s],
  }[type] ?? [0, () => []]) as [number, (part: Buffer) => number[]];
  return lengths.map((length, i) => read(data.subarray(pointers[i], (pointers[i] ?? 0) + bytes * length)));
}

async function readParquet(path: string): Promise<Record<string, unknown>[]> {
  const bytes = readFileSync(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return parquetReadObjects({ file, compressors }) as Promise<Record<string, unknown>[]>;
}

const rowOf = (row: Record<string, unknown>): Record<string, number[]> =>
  Object.fromEntries(Object.entries(row).map(([name, values]) => [name, [...(values as Iterable<number>)]]));

/** Each row's part, sequence and position, and what the source has at that place. */
async function placesInSource(run: string, rows: readonly Record<string, unknown>[]) {
  const parts = filesBelow(join(run, 'weighted'))
    .filter((path) => path.endsWith('.arrow'))
    .map((path) => tableFromIPC(readFileSync(path)).toArray());
  return rows.map(({ part, sequence, position }) => {
    const place = [Number(part), Number(sequence), Number(position)] as const;
    const { sequence_id, input_ids, weight } = parts[place[0]]?.[place[1]]?.toJSON() ?? {};
    expect(Number(sequence_id)).toBe(place[1]);
    return {
      place,
      token: [...(input_ids as Iterable<number>)][place[2]],
      weight: [...(weight as Iterable<number>)][place[2]],
    };
  });
}

/** The source's rows by apache-arrow's own reader. */
async function sourceRows(run: string) {
  const paths = filesBelow(join(run, 'weighted')).filter((path) => path.endsWith('.arrow'));
  return paths.flatMap((path) =>
    tableFromIPC(readFileSync(path))
      .toArray()
      .map((row) => {
        const { input_ids, weight, reference_loss, segments } = row.toJSON();
        return {
          ids: [...(input_ids as Iterable<number>)],
          weights: [...(weight as Iterable<number>)],
          losses: [...(reference_loss as Iterable<number>)],
          counts: [...(segments as Iterable<{ token_count: number }>)].map(({ token_count }) => token_count),
        };
      }),
  );
}
