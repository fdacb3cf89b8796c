import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SequenceBatch } from '#tokensieve/dataset/sequence-batch.js';
import { writeTokenizer } from '../../fixtures/bpe/tokenizer-files.mjs';
import { trainBpe } from '../../fixtures/bpe/train.mjs';
import { parquetBytes } from '../../fixtures/quickstart/corpus.mjs';
import { readLabels, tallyPart, tokenLengths } from '../../fixtures/quickstart/labels.mjs';
import { noisyPage } from '../../fixtures/quickstart/page.mjs';

const n = Number.NaN;
/** Bytes of ids 0 to 4: BOS, EOS, and tokens of one, two and three bytes. */
const lengths = Uint8Array.of(0, 0, 1, 2, 3);
const labels = [
  { bytes: 6, noise: [[1, 3, 'navigation']] },
  { bytes: 4, noise: [[0, 1, 'random-string']] },
] as const;

/** Rows of four ids with a stride of three: BOS a bb ccc EOS, BOS a ccc EOS. */
const rows = (): SequenceBatch => ({
  sequenceIds: BigInt64Array.of(0n, 1n, 2n),
  offsets: Int32Array.of(0, 4, 8, 10),
  inputIds: Int32Array.of(0, 2, 3, 4, 4, 1, 0, 2, 2, 4),
  columns: {
    reference_loss: Float32Array.of(n, 1, 1, 1, n, 1, n, 1, n, 1),
    current_loss: Float32Array.of(n, 2, 0, 5, n, 9, n, 4, n, 7),
    weight: Float32Array.of(0, 1, 0, 1, 0, 1, 0, 0, 0, 1),
  },
  segments: {
    offsets: Int32Array.of(0, 1, 3, 4),
    document: BigInt64Array.of(0n, 0n, 1n, 1n),
    tokenStart: Int32Array.of(0, 0, 2, 0),
    tokenCount: Int32Array.of(4, 2, 2, 2),
    byteStart: BigInt64Array.of(0n, 3n, 0n, 0n),
    byteEnd: BigInt64Array.of(6n, 6n, 1n, 4n),
  },
});
async function* batches(batch: SequenceBatch): AsyncGenerator<SequenceBatch> {
  yield batch;
}

describe('labels of tokens', () => {
  it('follow the bytes through rows and documents, each token once', async () => {
    const tallies = new Map();
    await tallyPart(batches(rows()), labels, lengths, tallies);
    expect(Object.fromEntries(tallies)).toEqual({
      lesson: { tokens: 3, kept: 3, excess: 1 + 4 + 6 },
      navigation: { tokens: 1, kept: 0, excess: -1 },
      'random-string': { tokens: 1, kept: 0, excess: 3 },
    });
  });

  it('are refused where tokens and text do not match', async () => {
    const other = [{ ...labels[0], bytes: 7 }, labels[1]];
    await expect(tallyPart(batches(rows()), other, lengths, new Map())).rejects.toThrow(
      'document 0: its tokens stand for 6 bytes, its text has 7',
    );
  });

  it('come from the shard, and token lengths from tokenizer.json', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tokensieve-labels-'));
    const page = noisyPage('labels', 'noisy', 0);
    await writeFile(join(folder, 'one.parquet'), await parquetBytes([page], 'GZIP'));
    expect(await readLabels(join(folder, 'one.parquet'))).toEqual([
      { bytes: Buffer.byteLength(page.text), noise: JSON.parse(page.metadata).noise },
    ]);
    await writeTokenizer(
      folder,
      trainBpe(['éé éé abab abab'], { size: 300, specials: ['<|bos|>', '<|eos|>'] }),
    );
    const found = await tokenLengths(join(folder, 'tokenizer.json'));
    expect([...found.subarray(0, 3)]).toEqual([0, 0, 1]);
    expect(Math.max(...found)).toBe(5);
  });
});
