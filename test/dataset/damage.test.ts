import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { createDocumentWriter, readDocuments, textDigest } from '#tokensieve/dataset/documents.js';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { TokensieveError } from '#tokensieve/errors.js';
import { localStorage } from '#tokensieve/storage/local.js';
import type { Storage } from '#tokensieve/storage/storage.js';
import { type Row, withFolder, writeRows } from './batches.js';

const storage = localStorage();

const rows: Row[] = Array.from({ length: 5 }, (_, id) => ({
  id: BigInt(id),
  ids: [1, 2, 3, 4 + id],
  columns: { reference_loss: [Number.NaN, 1, 2, 3], current_loss: [Number.NaN, 2, 2, 2] },
  segments: [[BigInt(id), 0, 4, 0n, 9n]],
}));

/** The bytes of a file, as an object of a store that is nothing but these bytes. */
const storageOf = (bytes: Uint8Array): Storage => ({
  ...storage,
  stat: async () => ({ size: bytes.length }),
  readRange: async (path, start, end) => {
    if (!(start >= 0 && start <= end && end <= bytes.length))
      throw new TokensieveError('input', 'short-read', path);
    return bytes.subarray(start, end);
  },
});

async function countSequences(bytes: Uint8Array): Promise<number> {
  let count = 0;
  for await (const batch of (await readSequences(storageOf(bytes), 'x.arrow')).batches()) {
    count += batch.sequenceIds.length;
  }
  return count;
}

async function countDocuments(bytes: Uint8Array): Promise<number> {
  let count = 0;
  for await (const documents of (await readDocuments(storageOf(bytes), 'x.arrow')).batches())
    count += documents.length;
  return count;
}

async function sequenceBytes(compression: 'none' | 'zstd' | 'lz4'): Promise<Uint8Array> {
  return withFolder(async (folder) => {
    const options = {
      columns: ['reference_loss', 'current_loss'],
      lossPrecision: 'fp32',
      compression,
      metadata: {},
    } as const;
    await writeRows(storage, `${folder}/a.arrow`, rows, options);
    return readFile(`${folder}/a.arrow`);
  });
}

async function documentBytes(): Promise<Uint8Array> {
  return withFolder(async (folder) => {
    const writer = await createDocumentWriter(storage, `${folder}/d.arrow`, {
      keep: ['url'],
      compression: 'zstd',
      metadata: {},
    });
    for (let row = 0; row < 5; row++) {
      await writer.write([
        {
          row,
          columns: { url: row === 2 ? null : `u${row}` },
          textDigest: textDigest('t'),
          textBytes: 1,
          tokens: 1,
        },
      ]);
    }
    await writer.finish();
    await writer.commit();
    return readFile(`${folder}/d.arrow`);
  });
}

/** The rows read, or the error; anything but the package's own input error fails the test. */
async function outcome(count: Promise<number>): Promise<number | TokensieveError> {
  try {
    return await count;
  } catch (error) {
    if (error instanceof TokensieveError && error.reach === 'input' && error.message.includes('x.arrow'))
      return error;
    throw error;
  }
}

const FILES = {
  'plain sequences': { make: () => sequenceBytes('none'), count: countSequences },
  'zstd sequences': { make: () => sequenceBytes('zstd'), count: countSequences },
  'lz4 sequences': { make: () => sequenceBytes('lz4'), count: countSequences },
  documents: { make: documentBytes, count: countDocuments },
};

for (const [name, { make, count }] of Object.entries(FILES)) {
  it(`${name}: cut anywhere, or with bytes lost anywhere, the file is refused`, async () => {
    const bytes = await make();
    expect(await count(bytes)).toBe(5);
    for (let length = 0; length < bytes.length; length++) {
      expect(await outcome(count(bytes.subarray(0, length)))).toBeInstanceOf(TokensieveError);
    }
    for (let at = 0; at < bytes.length; at += 8) {
      const without = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 8)]);
      expect(await outcome(count(without))).toBeInstanceOf(TokensieveError);
    }
  });

  it(`${name}: no changed byte makes the reader lose rows, crash or take memory`, async () => {
    const bytes = await make();
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const damaged = Uint8Array.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ mask;
        const found = await outcome(count(damaged));
        if (found instanceof TokensieveError) refused++;
        else expect(found, `byte ${at} ^ ${mask}`).toBe(5);
      }
    }
    expect(refused).toBeGreaterThan(100);
    expect(process.memoryUsage().rss).toBeLessThan(1e9);
  });
}

it('refuses Arrow files of another kind by name', async () => {
  const sequences = await sequenceBytes('none');
  await expect(readDocuments(storageOf(sequences), 'x.arrow')).rejects.toMatchObject({
    code: 'not-a-dataset',
  });
  await expect(readSequences(storageOf(await documentBytes()), 'x.arrow')).rejects.toMatchObject({
    code: 'not-a-dataset',
  });
  await expect(readSequences(storageOf(Buffer.from('PAR1'.repeat(20))), 'x.arrow')).rejects.toThrow(
    /no Arrow magic at the beginning/,
  );
});

it('refuses lengths that claim more than is there before it takes memory', async () => {
  const bytes = Uint8Array.from(await sequenceBytes('none'));
  const view = new DataView(bytes.buffer);
  view.setInt32(bytes.length - 10, 2 ** 31 - 1, true);
  await expect(countSequences(bytes)).rejects.toThrow(/the footer says it has 2147483647/);
});
