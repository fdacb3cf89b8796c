import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  explainDifference,
  fingerprintOf,
  type Manifest,
  parseManifest,
  readManifest,
  stageManifest,
} from '#tokensieve/dataset/manifest.js';
import { canonicalJson, hashJson } from '#tokensieve/json/canonical-json.js';
import { withFolder } from './batches.js';
import { storage, writePart } from './runs.js';

it('spells equal data alike, whatever the order of keys, and gives it back', () => {
  const shuffled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shuffled);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([key, member]) => [key, shuffled(member)]),
    );
  };
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value));
      expect(canonicalJson(JSON.parse(canonicalJson(value)))).toBe(canonicalJson(value));
    }),
  );
  expect(canonicalJson({ b: [1, { d: null, c: undefined }], a: 1e21, é: 'ü' })).toBe(
    '{"a":1e+21,"b":[1,{"d":null}],"é":"ü"}',
  );
});

it('refuses what JSON cannot hold rather than writing null', () => {
  for (const value of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n,
    undefined,
    new Map(),
    new Uint8Array(2),
    () => 1,
  ]) {
    expect(() => canonicalJson({ value: [value] })).toThrow(/expected plain JSON data/);
  }
});

it('writes the same bytes for the same manifest and reads them back', async () => {
  await withFolder(async (folder) => {
    const { manifest, manifestData } = await writePart(folder);
    const text = await readFile(manifest, 'utf8');
    const digest = hashJson(manifestData);
    expect(text).toBe(`${canonicalJson({ ...manifestData, digest })}\n`);
    expect(await readManifest(storage, manifest)).toEqual(manifestData);
    const reversed = Object.fromEntries(Object.entries(manifestData).reverse()) as unknown as Manifest;
    const staged = await stageManifest(storage, `${folder}/b.manifest.json`, reversed);
    expect(await storage.list(folder)).not.toContain(`${folder}/b.manifest.json`);
    await staged.commit();
    expect(await readFile(`${folder}/b.manifest.json`, 'utf8')).toBe(text);
  });
});

it('names the field that is wrong', async () => {
  await withFolder(async (folder) => {
    const { manifest, manifestData } = await writePart(folder);
    const parse = (change: object) => () =>
      parseManifest(JSON.stringify({ ...manifestData, ...change }), 'm.json');
    expect(parse({})()).toEqual(manifestData);
    expect(parse({ part: -1 })).toThrow(/^m\.json: field part: .*>=0/);
    expect(parse({ counts: { ...manifestData.counts, tokens: 1.5 } })).toThrow(/field counts\.tokens: .*int/);
    expect(parse({ fingerprint: 'abc' })).toThrow(/field fingerprint: expected 64 hex digits/);
    expect(parse({ host: 'x' })).toThrow(/host/);
    expect(parse({ version: 2 })).toThrow(/version 2; this package reads 1/);
    expect(parse({ outputs: [{ ...manifestData.outputs[0], name: '../x.arrow' }] })).toThrow(
      /outputs\.0\.name: expected a file name/,
    );
    expect(() => parseManifest('[]', 'm.json')).toThrow(/^m\.json: field \(whole\)/);
    await writeFile(manifest, Buffer.alloc(5_000_000));
    await expect(readManifest(storage, manifest)).rejects.toThrow(/5000000 bytes/);
    await expect(stageManifest(storage, manifest, { ...manifestData, part: -1 })).rejects.toMatchObject({
      code: 'bad-manifest',
    });
  });
});

it('has one fingerprint for one recipe and input', () => {
  const input = { name: 'x.parquet', size: 10, part: 0 };
  const recipe = { sequence: { length: 512, packing: 'packed' }, models: { reference: 'a' } };
  const same = { models: { reference: 'a' }, sequence: { packing: 'packed', length: 512 } };
  expect(fingerprintOf(recipe, input)).toBe(fingerprintOf(same, { part: 0, size: 10, name: 'x.parquet' }));
  const others = [
    fingerprintOf({ ...recipe, models: { reference: 'b' } }, input),
    fingerprintOf(recipe, { ...input, part: 1 }),
    fingerprintOf(recipe, { ...input, footer_sha256: 'e' }),
  ];
  expect(new Set([fingerprintOf(recipe, input), ...others]).size).toBe(4);
});

it('explains what changed, a line a field', () => {
  const before = {
    sequence: { length: 512, bos: true },
    models: { reference: 'a'.repeat(64) },
    corpus: ['x'],
    old: 1,
  };
  const after = {
    sequence: { length: 1024, bos: true },
    models: { reference: `b${'a'.repeat(63)}` },
    corpus: ['x', 'y'],
    new: { a: null },
  };
  expect(explainDifference(before, after)).toEqual([
    'corpus: ["x"] → ["x","y"]',
    `models.reference: "${'a'.repeat(44)}… → "b${'a'.repeat(43)}…`,
    'new: absent → {"a":null}',
    'old: 1 → absent',
    'sequence.length: 512 → 1024',
  ]);
  expect(explainDifference(before, structuredClone(before))).toEqual([]);
});
