import { copyFile, open, readFile, rm, truncate } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { createArrowFile, flatColumn, listColumn, structColumn } from '#tokensieve/dataset/arrow-writer.js';
import { type Manifest, stageManifest } from '#tokensieve/dataset/manifest.js';
import { sequenceSchema } from '#tokensieve/dataset/schema.js';
import { verifyFolder } from '#tokensieve/dataset/verify.js';
import { type Row, withFolder } from './batches.js';
import { type PartOptions, ROWS, storage, writePart } from './runs.js';

const reasons = async (folder: string) =>
  (await verifyFolder(storage, folder)).findings.map(({ reason }) => reason);

it('finds nothing in a sound folder, and counts what it read', async () => {
  await withFolder(async (folder) => {
    await writePart(folder);
    await writePart(folder, { part: 1, lossPrecision: 'fp16' });
    await writePart(folder, { shard: 'b.jsonl', columns: ['reference_loss', 'weight'] });
    const seen: number[] = [];
    const report = await verifyFolder(storage, folder, {
      onProgress: ({ done, of }) => seen.push(done / of),
    });
    expect(report).toMatchObject({ manifests: 3, files: 6, sequences: 3 * ROWS, tokens: 72, findings: [] });
    expect(seen).toEqual([1 / 3, 2 / 3, 1]);
  });
});

it('finds a changed byte wherever it is', async () => {
  await withFolder(async (folder) => {
    const paths = await writePart(folder);
    for (const path of [paths.sequences, paths.documents]) {
      const bytes = await readFile(path);
      for (let at = 0; at < bytes.length; at += 37) {
        const handle = await open(path, 'r+');
        await handle.write(Uint8Array.of((bytes[at] ?? 0) ^ 0x10), 0, 1, at);
        const [finding, ...more] = (await verifyFolder(storage, folder)).findings;
        await handle.write(bytes, at, 1, at);
        await handle.close();
        expect(finding).toMatchObject({ file: path, reason: expect.stringMatching(/sha256/) });
        // Without the documents, nothing is known against the segments.
        expect(more).toEqual([]);
      }
    }
    expect(await reasons(folder)).toEqual([]);
  });
});

it('finds files that are cut, gone, left over or named twice', async () => {
  await withFolder(async (folder) => {
    const { sequences, documents, manifest } = await writePart(folder);
    const again = () => writePart(folder);
    await truncate(sequences, 1000);
    expect(await reasons(folder)).toEqual([expect.stringMatching(/^has 1000 bytes; its manifest says \d+$/)]);
    await again();
    await rm(documents);
    expect(await reasons(folder)).toEqual([expect.stringMatching(/no such file/)]);
    await again();
    await copyFile(sequences, `${folder}/a/x.parquet/00007.arrow`);
    expect(await verifyFolder(storage, folder)).toMatchObject({
      findings: [
        {
          file: `${folder}/a/x.parquet/00007.arrow`,
          reason: expect.stringMatching(/belongs to no manifest/),
        },
      ],
    });
    await rm(`${folder}/a/x.parquet/00007.arrow`);
    await copyFile(manifest, `${folder}/a/x.parquet/00001.manifest.json`);
    expect((await reasons(folder)).slice(0, 2)).toEqual([
      `is part 0 of a/x.parquet, and so is ${manifest}`,
      expect.stringMatching(/00000\.arrow is an output of|is an output of .* and of/),
    ]);
  });
});

it('finds manifests that cannot be read', async () => {
  await withFolder(async (folder) => {
    const { manifest } = await writePart(folder);
    await truncate(manifest, 200);
    const { findings, damaged } = await verifyFolder(storage, folder);
    // Its outputs, which now belong to no manifest, are not told as well.
    expect(findings).toEqual([{ file: manifest, reason: expect.stringMatching(/^not JSON/) }]);
    expect(damaged).toEqual([manifest]);
  });
});

const changed = (row: number, change: (row: Row) => Partial<Row>) => (rows: Row[]) =>
  rows.map((one, i) => (i === row ? { ...one, ...change(one) } : one));

const counts = (change: Partial<Manifest['counts']>) => (manifest: Manifest) => ({
  ...manifest,
  counts: { ...manifest.counts, ...change },
});

const CASES: Record<string, { options: PartOptions; finding: RegExp }> = {
  'a sequence id out of order': {
    options: { rows: changed(1, () => ({ id: 5n })) },
    finding: /^sequence_id 5 stands at row 1$/,
  },
  'segments with a hole': {
    options: { rows: changed(1, (row) => ({ segments: [row.segments[0]!, [2n, 4, 4, 0n, 10n]] })) },
    finding: /^row 1: a segment of 4 tokens begins at position 4; expected some from 3 on$/,
  },
  'segments that end early': {
    options: { rows: changed(2, (row) => ({ segments: row.segments.slice(0, 1) })) },
    finding: /^row 2: its segments cover 3 of 8 tokens$/,
  },
  'a segment of no document': {
    options: { rows: changed(0, (row) => ({ segments: [[9n, 0, 3, 0n, 1n], row.segments[1]!] })) },
    finding: /^row 0: a segment is of document 9, which/,
  },
  'a segment beyond its text': {
    options: { rows: changed(0, (row) => ({ segments: [[0n, 0, 3, 10n, 21n], row.segments[1]!] })) },
    finding: /^row 0: a segment covers bytes 10 to 21 of document 0, whose text has 20$/,
  },
  'a segment that runs backwards': {
    options: { rows: changed(0, (row) => ({ segments: [[0n, 0, 3, 9n, 8n], row.segments[1]!] })) },
    finding: /^row 0: a segment covers bytes 9 to 8/,
  },
  'a negative token id': {
    options: { rows: changed(1, (row) => ({ ids: [...row.ids.slice(0, 7), -1] })) },
    finding: /^row 1, position 7: token id -1 is negative$/,
  },
  'another number of tokens': {
    options: { manifest: counts({ tokens: 25 }) },
    finding: /differ in tokens: 25 → 24$/,
  },
  'another number of eligible tokens': {
    options: { manifest: counts({ eligible: 20 }) },
    finding: /differ in eligible: 20 → 21$/,
  },
  'a histogram that is not the file’s': {
    options: {
      manifest: (manifest) => ({
        ...manifest,
        histograms: { ...manifest.histograms, excess: { ...manifest.histograms.excess!, sum: 1 } },
      }),
    },
    finding: /differ in histograms.excess.sum: 1 → 21$/,
  },
  'weights where the manifest says scored': {
    options: {
      columns: ['reference_loss', 'weight'],
      manifest: (manifest) => ({ ...manifest, kind: 'scored' }),
    },
    finding: /^has a weight column; its manifest says scored$/,
  },
  'losses where the manifest says packed': {
    options: {
      columns: ['reference_loss', 'weight'],
      manifest: (manifest) => ({ ...manifest, kind: 'packed' }),
    },
    finding: /^has a column reference_loss; its manifest says packed$/,
  },
  'a packed weight that is neither 0 nor 1': {
    options: {
      columns: ['weight'],
      rows: (rows) =>
        rows.map((row) => ({ ...row, columns: { weight: row.columns.weight!.map((w) => w / 2) } })),
      manifest: (manifest) => ({ ...manifest, kind: 'packed' }),
    },
    finding: /^row 0, position 1: weight is 0\.5; expected 0 or 1$/,
  },
  'the file of another fingerprint': {
    options: { manifest: (manifest) => ({ ...manifest, fingerprint: '1'.repeat(64) }) },
    finding: /^was written for fingerprint [0-9a-f]{64}; its manifest says 1111/,
  },
  'documents out of order': {
    options: { documents: (documents) => documents.toReversed() },
    finding: /^row 2 stands after row 3; expected rising rows$/,
  },
  'documents that are not the part’s': {
    options: { manifest: (manifest) => ({ ...manifest, input: { ...manifest.input, row_end: 3 } }) },
    finding: /^row 3 is outside the part's rows 0 to 2$/,
  },
  'another amount of text': {
    options: { manifest: counts({ text_bytes: 81 }) },
    finding: /differ in text_bytes: 81 → 80$/,
  },
};

for (const [name, { options, finding }] of Object.entries(CASES)) {
  it(`finds ${name}`, async () => {
    await withFolder(async (folder) => {
      await writePart(folder, options);
      expect(await reasons(folder)).toEqual(expect.arrayContaining([expect.stringMatching(finding)]));
    });
  });
}

it('says only so much about a file that is all wrong', async () => {
  await withFolder(async (folder) => {
    const rows = (all: Row[]) => Array.from({ length: 100 }, (_, i) => ({ ...all[0]!, id: BigInt(i + 1) }));
    await writePart(folder, { rows });
    const found = await reasons(folder);
    expect(found).toHaveLength(21);
    expect(found[20]).toMatch(/more than 20 findings/);
  });
});

it('finds values and lists that the writer would not have written', async () => {
  const flat = (values: Float32Array | Int32Array) => flatColumn(values.length, values);
  /** A part of one row of two tokens with these columns, written without the checks of the sequence writer. */
  const found = (reference: number[], current: number[], weight: number[], offsets = [0, 2]) =>
    withFolder(async (folder) => {
      const columns = ['reference_loss', 'current_loss', 'weight'] as const;
      const { sequences, manifest, manifestData } = await writePart(folder, { columns });
      const schema = sequenceSchema(columns, 'fp32', { fingerprint: manifestData.fingerprint });
      const file = await createArrowFile(storage, sequences, schema, 'none');
      const list = (values: number[]) =>
        listColumn(Int32Array.from(offsets), flat(Float32Array.from(values)));
      const ends = Int32Array.of(0, 2);
      const numbers = [
        BigInt64Array.of(0n),
        Int32Array.of(0),
        Int32Array.of(2),
        BigInt64Array.of(0n),
        BigInt64Array.of(1n),
      ];
      await file.append(1, [
        flatColumn(1, BigInt64Array.of(0n)),
        listColumn(ends, flat(Int32Array.of(7, 8))),
        list(reference),
        listColumn(ends, flat(Float32Array.from(current))),
        listColumn(ends, flat(Float32Array.from(weight))),
        listColumn(
          Int32Array.of(0, 1),
          structColumn(
            1,
            numbers.map((values) => flatColumn(1, values)),
          ),
        ),
      ]);
      const digest = await file.finish();
      await file.commit();
      const [output, ...others] = manifestData.outputs;
      const outputs = [{ ...output!, ...digest, rows: 1 }, ...others];
      await (await stageManifest(storage, manifest, { ...manifestData, outputs })).commit();
      return (await reasons(folder))[0];
    });
  const nan = Number.NaN;
  expect(await found([nan, 1], [nan, 2], [0, 1])).toMatch(/manifest and file differ in eligible/);
  expect(await found([nan, Infinity], [nan, 2], [0, 1])).toBe(
    'row 0, position 1: reference_loss is Infinity; expected a finite number of nats, or NaN',
  );
  expect(await found([nan, 1], [nan, nan], [0, 1])).toMatch(/position 1: current_loss is NaN where/);
  expect(await found([nan, 1], [nan, 2], [0, nan])).toMatch(/position 1: weight is NaN/);
  expect(await found([nan, 1], [nan, 2], [1, 1])).toMatch(
    /position 0: weight is 1 where reference_loss is NaN/,
  );
  expect(await found([1], [nan, 2], [0, 1], [0, 1])).toMatch(
    /row 0: reference_loss and input_ids have lists of different lengths/,
  );
});
