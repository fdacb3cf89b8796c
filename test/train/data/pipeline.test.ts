import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { readSequences } from '#tokensieve/dataset/reader.js';
import { packCorpus } from '#tokensieve/pack/pack-run.js';
import { parsePack } from '#tokensieve/pack/settings.js';
import { parsePipeline } from '#tokensieve/pipeline/settings.js';
import { planBatches } from '#tokensieve/score/batches.js';
import { scoreCorpus } from '#tokensieve/score/score-run.js';
import { selectRun } from '#tokensieve/select/select-run.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import type { StepBatch } from '#tokensieve/train/batch.js';
import { heldOutBatches } from '#tokensieve/train/data/held-out.js';
import { openTrainingData, startOf } from '#tokensieve/train/data/open.js';
import { filesBelow } from '../../support/cli.js';
import { manySmallParts, quickstartInputs, temporaryFolder } from '../../support/quickstart.js';
import { storage } from './folders.js';

// Folders that scoring, selection and packing wrote from one corpus, read side by side.

const root = temporaryFolder();
const sequence = { length: 64, attention: 'within' } as const;
const corpus = { part_bytes: 8192, limit: 12 };
const at = (name: string): string => join(root, name);

beforeAll(async () => {
  const inputs = await quickstartInputs(at('inputs'));
  const shards = [await manySmallParts(at('corpus'))];
  const options = {
    storage,
    sink: () => undefined,
    signal: new AbortController().signal,
    replace: false,
  };
  const { reference, current } = inputs;
  await scoreCorpus(
    parsePipeline(
      {
        ...{ shards, corpus, sequence, reference, current, out: at('scored') },
        score: { device: 'cpu', batch_tokens: 1024 },
        run: { cache: at('cache'), threads: 1 },
      },
      'test',
    ),
    options,
  );
  await selectRun(at('scored'), at('weighted'), selectionSettings.parse({ keep: 0.5 }), options);
  await packCorpus(
    parsePack({ shards, corpus, sequence, tokenizer: { path: reference }, out: at('packed') }, 'test'),
    options,
  );
});

/** One epoch of a folder in the files' order, as one step. */
async function wholeOf(folder: string): Promise<StepBatch> {
  const settings = { sources: [{ path: folder, ratio: 1 }], seed: 0, shuffle_tokens: 0 };
  const { description } = await openTrainingData(storage, settings, { rows: 1, accumulate: 1 });
  const rows = description.sources[0]!.rows;
  const data = await openTrainingData(storage, settings, { rows, accumulate: 1 });
  for await (const { batch } of data.steps(startOf(description))) return batch;
  throw new Error('no step');
}

it('hold the same rows and targets; weights and losses are those of their files', async () => {
  const [scored, weighted, packed] = [
    await wholeOf(at('scored')),
    await wholeOf(at('weighted')),
    await wholeOf(at('packed')),
  ];
  const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0);
  for (const other of [weighted, packed]) {
    expect(other.ids).toEqual(scored.ids);
    expect(other.eligible).toEqual(scored.eligible);
    expect(other.positions).toEqual(scored.positions);
    expect(other.documents).toEqual(scored.documents);
  }
  expect(weighted.referenceLoss).toEqual(scored.referenceLoss);
  expect(packed.weight).toEqual(packed.eligible);
  expect(sum(weighted.weight!) / sum(weighted.eligible)).toBeCloseTo(0.5, 2);
  expect(Array.from(scored.referenceLoss!, Number.isFinite)).toEqual(Array.from(scored.eligible, Boolean));
});

it('have the positions and documents that scoring gives the models', async () => {
  const batch = await wholeOf(at('scored'));
  let row = 0;
  for (const path of filesBelow(at('scored')).filter((name) => /\/\d{5}\.arrow$/.test(name))) {
    for await (const { offsets, inputIds, segments: s } of (await readSequences(storage, path)).batches()) {
      for (let r = 0; r + 1 < offsets.length; r++, row++) {
        const ids = inputIds.subarray(offsets[r], offsets[r + 1]);
        const segments = Array.from({ length: s.offsets[r + 1]! - s.offsets[r]! }, (_, i) => {
          const place = s.offsets[r]! + i;
          const [tokenStart, tokenCount] = [s.tokenStart[place]!, s.tokenCount[place]!];
          return { document: 0, tokenStart, tokenCount, byteStart: 0, byteEnd: 0 };
        });
        const one = { id: 0, ids, eligible: new Uint8Array(ids.length).fill(1), segments };
        const rules = { batchTokens: 64, ...sequence, windowBatches: 1, fixedRows: false };
        const [expected] = planBatches([one], rules);
        expect(batch.positions!.subarray(row * 64, row * 64 + 64)).toEqual(expected!.positions);
        expect(batch.documents!.subarray(row * 64, row * 64 + 64)).toEqual(expected!.documents);
      }
    }
  }
  expect(row * 64).toBe(batch.ids.length);
  expect(new Set(batch.documents).size).toBeGreaterThan(1);
});

it('train and hold out in one shape', async () => {
  const settings = {
    sources: [
      { path: at('packed'), ratio: 2 },
      { path: at('weighted'), ratio: 1 },
    ],
    seed: 0,
    shuffle_tokens: 4096,
  };
  const { description, steps } = await openTrainingData(storage, settings, { rows: 4, accumulate: 2 });
  expect(description).toMatchObject({
    length: 64,
    attention: 'within',
    hasReferenceLoss: false,
    hasWeights: true,
  });
  const held = await heldOutBatches(storage, at('scored'), 600, 4, description);
  expect(held.map(({ origins }) => origins.length)).toEqual([4, 4, 1]);
  for await (const { batch, position } of steps(startOf(description))) {
    expect(batch.ids.length).toBe(held[0]!.ids.length * 2);
    expect(position.rows).toBe(8);
    break;
  }
});
