import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { writeSafetensors } from '#tokensieve/model/safetensors-write.js';
import { readTensor } from '#tokensieve/model/tensor-data.js';
import { safetensorsBytes, toBFloat16, toFloat16 } from '../support/checkpoints.js';
import { temporaryFolder } from '../support/quickstart.js';
import { readTensors } from '../support/tensors.js';

const folder = temporaryFolder();
let count = 0;
const fresh = (): string => join(folder, `${count++}.safetensors`);

const bitsOf = (values: Float32Array): number[] => [
  ...new Uint32Array(values.buffer, values.byteOffset, values.length),
];

describe('writeSafetensors', () => {
  it('writes what the header reader and the tensor reader give back, bit for bit, in the order given', async () => {
    const anyFloat = fc.noBias(fc.integer({ min: 0, max: 0xffffffff }));
    const tensor = fc
      .tuple(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.array(anyFloat, { maxLength: 40 }))
      .map(([name, bits]) => ({
        name,
        shape: [bits.length, 1],
        data: new Float32Array(Uint32Array.from(bits).buffer),
      }));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 }),
        async (tensors) => {
          const path = fresh();
          const { bytes, sha256 } = await writeSafetensors(path, tensors, { format: 'pt', 'a"b': '\n' });
          const file = readFileSync(path);
          expect({ bytes, sha256 }).toEqual({
            bytes: file.length,
            sha256: createHash('sha256').update(file).digest('hex'),
          });
          const entries = await readSafetensorsHeader(path);
          const headerEnd = 8 + Number(file.readBigUInt64LE(0));
          expect(headerEnd % 8).toBe(0);
          expect(entries.every(({ type, offset }) => type === 'F32' && (offset - headerEnd) % 4 === 0)).toBe(
            true,
          );
          const found = await readTensors(path);
          expect(found.size).toBe(tensors.length);
          for (const { name, data } of tensors) expect(bitsOf(found.get(name)!)).toEqual(bitsOf(data));
          const text = file.subarray(8, headerEnd).toString();
          const places = tensors.map(({ name }) => text.indexOf(`,${JSON.stringify(name)}:{"dtype"`));
          expect(places.every((place) => place > 0)).toBe(true);
          expect([...places].sort((a, b) => a - b)).toEqual(places);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('crosses the border of its pieces, and writes a view rather than the buffer behind it', async () => {
    const all = Float32Array.from({ length: 5_000_000 }, (_, i) => i);
    const view = all.subarray(3, 4_999_990);
    const path = fresh();
    await writeSafetensors(path, [{ name: 'x', shape: [view.length], data: view }]);
    const found = (await readTensors(path)).get('x')!;
    expect(Buffer.compare(Buffer.from(found.buffer), Buffer.from(view.slice().buffer))).toBe(0);
  });

  it('refuses what no file can hold, and a path that is taken', async () => {
    const data = new Float32Array(4);
    const one = { name: 'a', shape: [4], data };
    const path = fresh();
    const refusals = [
      [one, one],
      [{ ...one, shape: [5] }],
      [{ ...one, shape: [2, 3] }],
      [{ ...one, name: '__metadata__' }],
    ];
    for (const tensors of refusals) {
      await expect(writeSafetensors(path, tensors)).rejects.toMatchObject({ code: 'bad-tensor' });
    }
    expect(existsSync(path)).toBe(false);
    await writeSafetensors(path, [one]);
    const { size } = statSync(path);
    await expect(writeSafetensors(path, [])).rejects.toMatchObject({ reach: 'fatal' });
    expect(statSync(path).size).toBe(size);
  });
});

describe('readTensor', () => {
  const values = [0, -0, 1, -1.5, 65504, 2 ** -14, 2 ** -24, 0.333251953125, Number.POSITIVE_INFINITY];
  const halves = (encode: (value: number) => number): Buffer =>
    Buffer.from(Uint16Array.from(values, (value) => encode(value)).buffer);

  it('widens every BF16 there is to the float32 of its bits', async () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const path = fresh();
    writeFileSync(
      path,
      safetensorsBytes([{ name: 'w', dtype: 'BF16', shape: [65536], bytes: Buffer.from(all.buffer) }]),
    );
    const found = (await readTensors(path)).get('w')!;
    expect(bitsOf(found)).toEqual(Array.from(all, (bits) => bits * 65536));
  });

  it('widens F16 exactly, at an odd offset and over several pieces', async () => {
    const finite = values.filter(Number.isFinite);
    const some = halves((value) => (Number.isFinite(value) ? toFloat16(value) : 0x7c00));
    const many = Buffer.concat(Array.from({ length: 300_000 }, () => some));
    const path = fresh();
    writeFileSync(
      path,
      safetensorsBytes([{ name: 'w', dtype: 'F16', shape: [many.length / 2], bytes: many }]),
    );
    const [entry] = await readSafetensorsHeader(path);
    expect(entry!.offset % 2).toBe(1);
    const found = (await readTensors(path)).get('w')!;
    expect([...found.subarray(0, finite.length)]).toEqual(finite);
    const tail = found.subarray(found.length - values.length);
    expect(tail.every((value, i) => Object.is(value, values[i]))).toBe(true);
  });

  it('refuses other types and other sizes', async () => {
    const path = fresh();
    const bytes = Buffer.from(Int16Array.from([toBFloat16(1), 2]).buffer);
    writeFileSync(path, safetensorsBytes([{ name: 'w', dtype: 'I16', shape: [2], bytes }]));
    await expect(readTensors(path)).rejects.toMatchObject({ code: 'unknown-weight-type' });
    const [entry] = await readSafetensorsHeader(path);
    const asHalf = { ...entry!, type: 'F16' };
    await expect(readTensor(asHalf, new Float32Array(3))).rejects.toMatchObject({ code: 'wrong-shape' });
    await expect(readTensor({ ...asHalf, offset: 1e6 }, new Float32Array(2))).rejects.toMatchObject({
      code: 'broken-safetensors',
    });
  });
});
