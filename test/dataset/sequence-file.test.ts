import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { tableFromIPC } from 'apache-arrow';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Compression } from '#tokensieve/dataset/codecs.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import type { LossPrecision } from '#tokensieve/dataset/schema.js';
import type { TokenColumn } from '#tokensieve/dataset/sequence-batch.js';
import { createSequenceWriter } from '#tokensieve/dataset/writer.js';
import { localStorage } from '#tokensieve/storage/local.js';
import { arbitraryRows, type Row, readRows, toBatch, withFolder, writeRows } from './batches.js';

const storage = localStorage();
const COLUMN_SETS: readonly (readonly TokenColumn[])[] = [
  ['reference_loss'],
  ['reference_loss', 'current_loss'],
  ['reference_loss', 'current_loss', 'reference_entropy', 'current_entropy'],
  ['reference_loss', 'weight'],
  [],
];

/** A row of `length` tokens whose values tell where they belong. */
const longRow = (id: number, length: number): Row => ({
  id: BigInt(id),
  ids: Array.from({ length }, (_, i) => (i * 7 + id) % 50_000),
  columns: { reference_loss: Array.from({ length }, (_, i) => (i === 0 ? Number.NaN : (i % 640) / 64)) },
  segments: [[BigInt(id), 0, length, 0n, BigInt(length)]],
});

it('reads back what was written, for all columns, precisions and compressions, however it is cut', async () => {
  await withFolder((folder) =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...COLUMN_SETS).chain((columns) =>
          fc.record({
            columns: fc.constant(columns),
            rows: arbitraryRows(columns),
            lossPrecision: fc.constantFrom<LossPrecision>('fp32', 'fp16'),
            compression: fc.constantFrom<Compression>('none', 'zstd', 'lz4'),
            cuts: fc.array(fc.nat(12)),
          }),
        ),
        async ({ columns, rows, lossPrecision, compression, cuts }) => {
          const options = { columns, lossPrecision, compression, metadata: { fingerprint: 'f' } };
          const whole = await writeRows(storage, `${folder}/a.arrow`, rows, options);
          const pieces = await writeRows(storage, `${folder}/b.arrow`, rows, options, cuts);
          expect(await readRows(storage, `${folder}/a.arrow`)).toEqual(rows);
          expect(pieces).toEqual(whole);
          const bytes = await readFile(`${folder}/b.arrow`);
          expect(whole.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
          expect(whole.bytes).toBe(bytes.length);
          const file = await readSequences(storage, `${folder}/a.arrow`);
          expect(await file.countRows()).toBe(rows.length);
          expect(file.columns).toEqual(columns);
          expect(file.metadata).toEqual({ fingerprint: 'f', version: 1 });
        },
      ),
      { numRuns: 150 },
    ),
  );
});

it('cuts record batches by rows alone: one row at a time gives the bytes of all at once', async () => {
  await withFolder(async (folder) => {
    const options = {
      columns: ['reference_loss'],
      lossPrecision: 'fp32',
      compression: 'none',
      metadata: {},
    } as const;
    // Below, at and beyond the 65,536 tokens of a record batch, with a row that is longer than one.
    const rows = [40_000, 25_536, 1, 65_535, 70_000, 0, 65_536, 3].map((length, id) => longRow(id, length));
    const cuts = rows.map((_, i) => i);
    const whole = await writeRows(storage, `${folder}/a.arrow`, rows, options);
    const single = await writeRows(storage, `${folder}/b.arrow`, rows, options, cuts);
    expect(single.sha256).toBe(whole.sha256);
    const file = await readSequences(storage, `${folder}/a.arrow`);
    const lengths: number[] = [];
    for await (const batch of file.batches()) lengths.push(batch.inputIds.length);
    expect(lengths).toEqual([65_536, 65_536, 70_000, 65_536, 3]);
    expect(await readRows(storage, `${folder}/a.arrow`)).toEqual(rows);
  });
});

it('closes record batches of many empty rows and of many segments', async () => {
  await withFolder(async (folder) => {
    const options = { columns: [], lossPrecision: 'fp32', compression: 'none', metadata: {} } as const;
    const empty = Array.from(
      { length: 65_537 },
      (_, i): Row => ({ id: BigInt(i), ids: [], columns: {}, segments: [] }),
    );
    await writeRows(storage, `${folder}/empty.arrow`, empty, options);
    const emptyFile = await readSequences(storage, `${folder}/empty.arrow`);
    expect([emptyFile.batchCount, await emptyFile.countRows()]).toEqual([2, 65_537]);

    const ids = Array.from({ length: 1000 }, (_, i) => i);
    const dense = Array.from(
      { length: 70 },
      (_, i): Row => ({
        id: BigInt(i),
        ids: [],
        columns: {},
        segments: ids.map((at) => [BigInt(at), at, 0, 0n, 0n]),
      }),
    );
    await writeRows(storage, `${folder}/dense.arrow`, dense, options);
    expect((await readSequences(storage, `${folder}/dense.arrow`)).batchCount).toBe(2);
    expect(await readRows(storage, `${folder}/dense.arrow`)).toEqual(dense);
  });
});

it('writes files that the Arrow library itself reads, zero rows included', async () => {
  await withFolder(async (folder) => {
    const options = {
      columns: ['reference_loss', 'current_loss'],
      lossPrecision: 'fp32',
      compression: 'none',
      metadata: { a: [1, { c: 2, b: 1 }] },
    } as const;
    const [rows] = fc
      .sample(arbitraryRows(options.columns), { numRuns: 1, seed: 7 })
      .filter((r) => r.length > 2);
    for (const [name, some] of Object.entries({ some: rows ?? [], none: [] })) {
      await writeRows(storage, `${folder}/${name}.arrow`, some, options);
      const table = tableFromIPC(await readFile(`${folder}/${name}.arrow`));
      expect(table.numRows).toBe(some.length);
      expect(table.schema.metadata.get('tokensieve')).toBe('{"a":[1,{"b":1,"c":2}],"version":1}');
      const lists = Array.from({ length: table.numRows }, (_, i) => [
        ...table.getChild('current_loss')!.get(i),
      ]);
      expect(lists).toEqual(some.map((row) => row.columns.current_loss));
      // The bytes after the magic are an Arrow stream as well.
      expect(tableFromIPC((await readFile(`${folder}/${name}.arrow`)).subarray(8)).numRows).toBe(some.length);
    }
  });
});

it('stores every NaN as one bit pattern, so that equal losses are equal bytes', async () => {
  await withFolder(async (folder) => {
    const nans = new Float32Array(Uint32Array.of(0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff).buffer);
    for (const [lossPrecision, bits] of [
      ['fp32', 0x7fc00000],
      ['fp16', 0x7fc00000],
    ] as const) {
      const options = {
        columns: ['reference_loss'],
        lossPrecision,
        compression: 'none',
        metadata: {},
      } as const;
      const batch = toBatch([longRow(0, 4)], options.columns);
      const path = `${folder}/${lossPrecision}.arrow`;
      const writer = await createSequenceWriter(storage, path, options);
      await writer.write({ ...batch, columns: { reference_loss: nans } });
      await writer.finish();
      await writer.commit();
      const read = await (await readSequences(storage, path)).readBatch(0);
      const loss = read.columns.reference_loss!;
      expect([...new Uint32Array(loss.buffer, loss.byteOffset, 4)]).toEqual([bits, bits, bits, bits]);
      expect(new Uint32Array(nans.buffer)[1]).toBe(0xffc00000); // the caller's array is left alone
    }
  });
});

it('refuses values that would poison what reads them, naming row and position', async () => {
  await withFolder(async (folder) => {
    const columns = ['reference_loss', 'current_loss', 'weight'] as const;
    const good = { reference_loss: [Number.NaN, 1], current_loss: [Number.NaN, 2], weight: [0, 1] };
    const write = async (change: Record<string, number[]>, lossPrecision: LossPrecision = 'fp32') => {
      const row = (id: number, values: Record<string, number[]>): Row => ({
        id: BigInt(id),
        ids: [5, 6],
        columns: values,
        segments: [[0n, 0, 2, 0n, 2n]],
      });
      const rows = [row(0, good), row(1, { ...good, ...change })];
      await writeRows(storage, `${folder}/x.arrow`, rows, {
        columns,
        lossPrecision,
        compression: 'none',
        metadata: {},
      });
    };
    await write({});
    const at = /x\.arrow: row 1, position 1: /;
    await expect(write({ current_loss: [Number.NaN, Number.POSITIVE_INFINITY] })).rejects.toThrow(
      /position 1: current_loss is Infinity/,
    );
    await expect(write({ current_loss: [Number.NaN, Number.NaN] })).rejects.toThrow(
      /current_loss is NaN where reference_loss has a value/,
    );
    await expect(write({ reference_loss: [Number.NaN, Number.NaN] })).rejects.toThrow(
      /current_loss is 2 where reference_loss is NaN/,
    );
    await expect(write({ weight: [0, Number.NaN] })).rejects.toThrow(/weight is NaN; expected a finite/);
    await expect(write({ weight: [0, -1] })).rejects.toThrow(at);
    await expect(write({ weight: [0.5, 1] })).rejects.toThrow(
      /row 1, position 0: weight is 0.5 where reference_loss is NaN/,
    );
    await expect(write({ current_loss: [Number.NaN, 65_520] }, 'fp16')).rejects.toMatchObject({
      code: 'fp16-overflow',
    });
    await write({ current_loss: [Number.NaN, 65_519] }, 'fp16');
  });
});

it('refuses batches whose arrays do not fit together', async () => {
  await withFolder(async (folder) => {
    const options = {
      columns: ['reference_loss'],
      lossPrecision: 'fp32',
      compression: 'none',
      metadata: {},
    } as const;
    const batch = toBatch([longRow(0, 4), longRow(1, 3)], options.columns);
    const bad = [
      { ...batch, columns: {} },
      { ...batch, columns: { ...batch.columns, current_loss: new Float32Array(7) } },
      { ...batch, columns: { reference_loss: new Float32Array(6) } },
      { ...batch, offsets: Int32Array.of(0, 4, 6) },
      { ...batch, offsets: Int32Array.of(0, 8, 7) },
      { ...batch, offsets: Int32Array.of(1, 4, 7) },
      { ...batch, sequenceIds: new BigInt64Array(1) },
      { ...batch, segments: { ...batch.segments, offsets: Int32Array.of(0, 2) } },
      { ...batch, segments: { ...batch.segments, byteEnd: new BigInt64Array(1) } },
    ];
    for (const one of bad) {
      const writer = await createSequenceWriter(storage, `${folder}/bad.arrow`, options);
      await expect(writer.write(one)).rejects.toMatchObject({ code: 'bad-batch' });
      await writer.abort();
    }
    expect(await storage.list(folder)).toEqual([]);
  });
});

it('keeps the statistics of what is stored, after rounding to fp16', async () => {
  await withFolder(async (folder) => {
    const columns = ['reference_loss', 'current_loss', 'weight'] as const;
    const row: Row = {
      id: 0n,
      ids: [1, 2, 3, 4],
      columns: {
        reference_loss: [Number.NaN, 1.0001, 0.1, 40],
        current_loss: [Number.NaN, 2, 3.3, 20],
        weight: [0, 1, 0.5, 0],
      },
      segments: [[0n, 0, 4, 0n, 9n]],
    };
    const { statistics } = await writeRows(storage, `${folder}/s.arrow`, [row], {
      columns,
      lossPrecision: 'fp16',
      compression: 'zstd',
      metadata: {},
    });
    expect(statistics).toMatchObject({ sequences: 1, tokens: 4, eligible: 3, kept: 2, weight_sum: 1.5 });
    const { reference_loss: reference, excess } = statistics.histograms;
    // 1.0001 rounds to 1, and 0.1 to 0.0999755859375, in half precision.
    expect(reference).toMatchObject({
      count: 3,
      sum: 41.0999755859375,
      min: 0.0999755859375,
      max: 40,
      above: 1,
      below: 0,
    });
    expect(reference!.bins[8]).toBe(1);
    expect(excess).toMatchObject({ count: 3, below: 1, above: 0, min: -20 });
  });
});
