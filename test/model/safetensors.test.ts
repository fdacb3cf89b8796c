import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { TokensieveError } from '#tokensieve/errors.js';
import { readSafetensorsHeader } from '#tokensieve/model/safetensors.js';
import { type RawTensor, safetensorsBytes } from '../support/checkpoints.js';

const scratch = mkdtempSync(join(tmpdir(), 'safetensors-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let count = 0;
function write(bytes: Uint8Array): string {
  const path = join(scratch, `${count++}.safetensors`);
  writeFileSync(path, bytes);
  return path;
}

function withHeader(header: unknown, data = Buffer.alloc(64)): string {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return write(Buffer.concat([length, text, data]));
}

const tensor = (start: number, end: number, shape = [(end - start) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [start, end],
});

async function refusal(path: string): Promise<string> {
  const error: unknown = await readSafetensorsHeader(path).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TokensieveError);
  const { message, code, reach } = error as TokensieveError;
  expect({ code, reach }).toEqual({ code: 'broken-safetensors', reach: 'fatal' });
  expect(message).toContain(path);
  expect(message).not.toContain('\n');
  return message;
}

describe('readSafetensorsHeader', () => {
  it('places every tensor in the file, whatever the order of the header', async () => {
    const bytes = (text: string): Buffer => Buffer.from(text);
    const tensors: RawTensor[] = [
      { name: 'b', dtype: 'F16', shape: [3], bytes: bytes('abcdef') },
      { name: 'empty', dtype: 'F32', shape: [0, 7], bytes: bytes('') },
      { name: 'a', dtype: 'U8', shape: [], bytes: bytes('x') },
    ];
    const file = safetensorsBytes(tensors);
    const entries = await readSafetensorsHeader(write(file));
    const found = entries.map(({ name, type, shape, offset, length }) => ({
      name,
      dtype: type,
      shape,
      bytes: file.subarray(offset, offset + length),
    }));
    expect(found.sort((x, y) => x.name.localeCompare(y.name))).toEqual(
      tensors.sort((x, y) => x.name.localeCompare(y.name)),
    );
  });

  it.each([
    ['fewer bytes than a length takes', Buffer.from('1234567'), /has 7 bytes/],
    ['a header longer than the file', Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 123]), /header of 200 bytes/],
    [
      'a header longer than the format allows',
      Buffer.from([1, 225, 245, 5, 0, 0, 0, 0, 123]),
      /header of 100000001 bytes, more than/,
    ],
    ['a length of 2^64 − 1', Buffer.alloc(16, 255), /header of 18446744073709551615 bytes/],
  ])('refuses %s', async (_name, bytes, message) => {
    expect(await refusal(write(bytes))).toMatch(message);
  });

  it.each([
    ['text that is not JSON', '{"a":', /not JSON/],
    ['a bare string', '"tensors"', /not an object/],
    ['an array', '[]', /not an object/],
    ['a tensor without offsets', { a: { dtype: 'F32', shape: [1] } }, /tensor "a" has no valid/],
    ['an unknown dtype', { a: { dtype: 'Q4', shape: [1], data_offsets: [0, 4] } }, /unknown dtype "Q4"/],
    [
      'a dtype from the prototype',
      { a: { dtype: 'toString', shape: [1], data_offsets: [0, 4] } },
      /unknown dtype/,
    ],
    ['bytes that do not match the shape', { a: tensor(0, 16, [5]) }, /F32 \[5\], 20 bytes, but takes 16/],
    ['a shape that overflows', { a: tensor(0, 16, [2 ** 40, 2 ** 40]) }, /but takes 16/],
    ['a negative size', { a: tensor(0, 16, [-4]) }, /no valid dtype, shape/],
    ['offsets that run backwards', { a: { dtype: 'F32', shape: [0], data_offsets: [8, 4] } }, /but takes -4/],
    ['an end beyond the file', { a: tensor(0, 128) }, /ends at byte \d+ but the file has/],
    ['tensors that overlap', { a: tensor(0, 16), b: tensor(12, 28) }, /tensor b overlaps/],
  ])('refuses %s', async (_name, header, message) => {
    expect(await refusal(withHeader(header))).toMatch(message);
  });

  it('refuses a file cut short by one byte', async () => {
    const path = withHeader({ a: tensor(0, 64) });
    expect(await readSafetensorsHeader(path)).toHaveLength(1);
    truncateSync(path, 8 + JSON.stringify({ a: tensor(0, 64) }).length + 63);
    expect(await refusal(path)).toMatch(/ends at byte/);
  });

  it('gives entries within the file or a typed error, for any bytes', async () => {
    const good = safetensorsBytes([{ name: 'a', dtype: 'F32', shape: [4], bytes: Buffer.alloc(16) }]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
        async (edits) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of edits) bytes[at] = value;
          try {
            for (const entry of await readSafetensorsHeader(write(bytes))) {
              expect(entry.offset + entry.length).toBeLessThanOrEqual(bytes.length);
            }
          } catch (error) {
            expect(error).toBeInstanceOf(TokensieveError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
