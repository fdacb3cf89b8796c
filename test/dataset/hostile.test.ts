/** What fuzzing and reading found in Arrow files and manifests. */

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { Builder } from 'flatbuffers';
import { expect, it } from 'vitest';
import { decodeSchema } from '#tokensieve/dataset/arrow-footer.js';
import { readParts } from '#tokensieve/dataset/finished-parts.js';
import { parseManifest, readManifest } from '#tokensieve/dataset/manifest.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { withFolder } from './batches.js';
import { storage, writePart } from './runs.js';

it('a manifest whose shard leads out of the folder of parts is refused', async () => {
  await withFolder(async (folder) => {
    const scored = `${folder}/run/scored`;
    const { manifest } = await writePart(scored);
    // Without its digest, which would refuse any change: what is refused here is what the fields say.
    const { digest: _, ...sound } = JSON.parse(await readFile(manifest, 'utf8'));
    for (const shard of [
      '../scored/a/x.parquet',
      'a/../a/x.parquet',
      './a/x.parquet',
      'a//x.parquet',
      '/a/x.parquet',
      'a/x.parquet/',
      '..',
      'a\0b',
      '',
    ]) {
      await writeFile(manifest, JSON.stringify({ ...sound, shard }));
      await expect(readParts(storage, scored, [manifest]), shard).rejects.toMatchObject({
        code: 'bad-manifest',
      });
    }
    for (const shard of ['a/..x/y', 'a/x..parquet', '.a/...', 'é/ x']) {
      expect(parseManifest(JSON.stringify({ ...sound, shard }), 'x').shard).toBe(shard);
    }
    for (const name of ['..', '.', 'a/b', 'a\\b']) {
      const outputs = [{ ...sound.outputs[0], name }];
      expect(() => parseManifest(JSON.stringify({ ...sound, outputs }), 'x')).toThrow(/outputs.0.name/);
    }
  });
});

it('a manifest with a recipe nested without end is refused before it is walked', async () => {
  await withFolder(async (folder) => {
    const { manifest } = await writePart(folder);
    const text = await readFile(manifest, 'utf8');
    await writeFile(
      manifest,
      text.replace('"recipe":{', `"recipe":{"deep":${'['.repeat(100_000)}${']'.repeat(100_000)},`),
    );
    await expect(readManifest(storage, manifest)).rejects.toMatchObject({ code: 'bad-manifest' });
  });
});

it('a schema that names one field a million times is refused before fields are made of it', () => {
  const builder = new Builder(1 << 16);
  const name = builder.createString('x');
  builder.startObject(7);
  builder.addFieldOffset(0, name, 0);
  const field = builder.endObject();
  const count = 100_000;
  builder.startVector(4, count, 4);
  for (let i = 0; i < count; i++) builder.addOffset(field);
  const fields = builder.endVector();
  builder.startObject(4);
  builder.addFieldOffset(1, fields, 0);
  const schema = builder.endObject();
  builder.startObject(5);
  builder.addFieldOffset(1, schema, 0);
  builder.finish(builder.endObject());
  expect(() => decodeSchema(builder.asUint8Array())).toThrow(/more than 4096 fields/);
});

/** Offset of the regions of the first record batch: pairs of 64-bit offset and length, the first two being 0 and 0. */
function bufferAt(bytes: Buffer, index: number, regions: readonly (readonly [number, number])[]): number {
  const wanted = Buffer.alloc(16);
  const [offset, length] = regions[index] as readonly [number, number];
  wanted.writeBigInt64LE(BigInt(offset));
  wanted.writeBigInt64LE(BigInt(length), 8);
  return bytes.indexOf(wanted);
}

it('buffers that share their bytes are refused: they would be more in memory than in the file', async () => {
  await withFolder(async (folder) => {
    const { sequences } = await writePart(folder);
    const bytes = await readFile(sequences);
    // sequence_id: no validity, then three 64-bit numbers; input_ids: no validity, then four offsets.
    const at = bufferAt(bytes, 0, [[0, 24]]);
    expect(at).toBeGreaterThan(0);
    const next = bytes.readBigInt64LE(at + 32);
    expect(next).toBeGreaterThan(0n);
    bytes.writeBigInt64LE(0n, at + 32);
    await writeFile(sequences, bytes);
    const file = await readSequences(storage, sequences);
    await expect(file.readBatch(0)).rejects.toThrow(/before the end of the one before it/);
  });
});

it('an output that only looks like one of the part is not followed by the name it has', async () => {
  await withFolder(async (folder) => {
    await mkdir(`${folder}/b`, { recursive: true });
    const { manifest } = await writePart(`${folder}/a`);
    await rename(manifest, `${folder}/b/00000.manifest.json`);
    await expect(readParts(storage, folder, [`${folder}/b/00000.manifest.json`])).rejects.toMatchObject({
      code: 'misplaced-part',
    });
  });
});
