import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { heldOutBatches } from '#tokensieve/train/data/held-out.js';
import { openTrainingData } from '#tokensieve/train/data/open.js';
import { temporaryFolder } from '../../support/quickstart.js';
import { type FolderOptions, LENGTH, storage, writeFolder } from './folders.js';

const root = temporaryFolder();
let folders = 0;
const write = (options?: FolderOptions) =>
  writeFolder(
    join(root, String(folders++)),
    [
      [8, 8],
      [8, 5],
      [8, 8, 8],
    ],
    options,
  );

const training = async (options?: FolderOptions) =>
  (
    await openTrainingData(
      storage,
      { sources: [{ path: await write(options), ratio: 1 }], seed: 0, shuffle_tokens: 100 },
      { rows: 2, accumulate: 1 },
    )
  ).description;

describe('held-out batches', () => {
  it('are the first rows of the files up to the tokens, the last batch filled with rows without a target', async () => {
    const like = await training();
    const [folder, length] = [await write({ kind: 'packed' }), LENGTH];
    const rowsOf = async (tokens: number) => {
      const batches = await heldOutBatches(storage, folder, tokens, 2, like);
      for (const { ids, eligible, origins } of batches) {
        expect(ids.length).toBe(2 * length);
        for (let row = origins.length; row < 2; row++) {
          expect(eligible.subarray(row * length, (row + 1) * length).every((one) => one === 0)).toBe(true);
        }
      }
      return batches.map(({ origins }) => origins.map(({ part, sequenceId }) => `${part} ${sequenceId}`));
    };
    expect(await rowsOf(1)).toEqual([['0 0']]);
    expect(await rowsOf(28)).toEqual([['0 0', '0 1'], ['1 0']]);
    expect(await rowsOf(29)).toEqual([
      ['0 0', '0 1'],
      ['1 0', '1 1'],
    ]);
    expect((await rowsOf(1e9)).flat().length).toBe(7);
  });

  it('are as long as the training rows, and refused where they mean something else', async () => {
    const longer = await training({ sequence: { length: 16 } });
    const [batch] = await heldOutBatches(storage, await write(), 8, 2, longer);
    expect(batch!.ids.length).toBe(2 * 16);
    const refused = async (options: FolderOptions, code: string) => {
      const like = await training();
      await expect(heldOutBatches(storage, await write(options), 8, 2, like)).rejects.toMatchObject({
        code,
        reach: 'usage',
      });
    };
    await refused({ tokenizer: { hash: 'd'.repeat(64) } }, 'tokenizers-differ');
    await refused({ sequence: { attention: 'within' } }, 'sources-differ');
    await refused({ sequence: { length: 16 } }, 'sequence-too-long');
  });
});
