import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { describeModel, prepareModel } from '#tokensieve/model/prepare.js';
import { checkVocabulary } from '#tokensieve/model/vocabulary.js';
import { readCheckpoint } from '../support/oracle/checkpoint.js';
import { readGolden, writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { lossesAcross, type TokenLosses } from '../support/oracle/oracle.js';
import { lossesOfExport } from '../support/oracle-export.js';
import { type RunLosses, runPrepared } from '../support/oracle-run.js';
import { parityTable } from '../support/oracle-table.js';
import { hasSharedData, sharedData } from '../support/report-skips.js';

const report = parityTable();
const scratch = mkdtempSync(join(tmpdir(), 'onnx-export-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const exports = fileURLToPath(new URL('../../fixtures/models/onnx/', import.meta.url));
const settings = {
  device: 'cpu',
  attention: 'across',
  entropy: true,
  cacheFolder: join(scratch, 'cache'),
} as const;

/** Rows of the golden that the exported checkpoint belongs to, and what the fp64 oracle says of them. */
function oracle(exported: 'llama' | 'gpt2') {
  const golden = readGolden(`${exported}-export`);
  const folder = join(scratch, exported);
  writeGoldenCheckpoint(golden, folder);
  const checkpoint = readCheckpoint(folder);
  const losses = golden.rows.map((ids) => lossesAcross(checkpoint, ids));
  return { rows: golden.rows.map((ids) => ({ ids })), losses };
}

function farthest(product: RunLosses, wanted: readonly TokenLosses[]): number {
  const gaps = (['loss', 'entropy'] as const).flatMap((key) =>
    wanted.flatMap((row, r) => [...row[key]].map((value, t) => Math.abs(product[key][r]![t]! - value))),
  );
  expect(gaps.length).toBeGreaterThan(200);
  return gaps.reduce((a, b) => (Number.isNaN(b) ? Number.POSITIVE_INFINITY : Math.max(a, b)), 0);
}

describe('an export gives the losses of the checkpoint it was made from', () => {
  // fp16 weights, activations and logits: a difference of the export, not of ours. Half precision has 11 bits,
  // and logits here are below 4.
  it.each([
    ['llama-optimum', 'llama', 2e-5],
    ['llama-optimum-past', 'llama', 2e-5],
    ['gpt2-optimum-past', 'gpt2', 2e-5],
    ['llama-genai-fp32', 'llama', 2e-5],
    ['llama-genai-fp16', 'llama', 5e-3],
  ] as const)('%s', async (name, exported, tolerance) => {
    const { rows, losses } = oracle(exported);
    const prepared = await prepareModel(join(exports, name), settings);
    const gap = farthest(await runPrepared(prepared, rows), losses);
    report([name], [gap]);
    expect(gap).toBeLessThan(tolerance);
  });

  it('quantised to 4 bits, those of the export itself', async () => {
    const folder = join(exports, 'llama-genai-int4');
    const { rows } = oracle('llama');
    const wanted = await Promise.all(rows.map(({ ids }) => lossesOfExport(join(folder, 'model.onnx'), ids)));
    const prepared = await prepareModel(folder, settings);
    const gap = farthest(await runPrepared(prepared, rows), wanted);
    report(['llama-genai-int4'], [gap]);
    expect(gap).toBeLessThan(2e-5);
  });
});

describe('what an export says of itself', () => {
  it('is read from its graph and its configuration', async () => {
    const info = await describeModel(join(exports, 'llama-genai-fp32'));
    const golden = readGolden('llama-export');
    const elements = Object.values(golden.tensors).map((shape) => shape.reduce((a, b) => a * b, 1));
    const rope = 2 * 128 * 8; // the cos and sin caches, which the export stores
    expect(info).toMatchObject({
      architecture: 'onnx',
      vocabularySize: 67,
      maxPositions: 128,
      parameters: elements.reduce((a, b) => a + b, 0) + rope,
      // All matrices but the embedding, 2 FLOPs an element; 3 heads of 16 in one layer.
      flopsPerToken: {
        matmul: 2 * (24 * 80 + 48 * 24 + 3 * 24 * 29 + 24 * 67),
        attentionPerContextToken: 2 * 48,
      },
      weightType: 'F32',
    });
    expect(info.hash).toMatch(/^[0-9a-f]{64}$/);
    expect((await describeModel(join(exports, 'llama-genai-fp16'))).weightType).toBe('F16');
  });
});

describe.skipIf(!hasSharedData)('exports found in the wild', () => {
  const folder = (name: string): string => join(sharedData, 'models/onnx-decoders', name);

  it('runs an old GPT-2 with int32 inputs and one cache tensor a layer', async () => {
    const name = folder('tiny-random-gpt2-fp32');
    const rows = [{ ids: Array.from({ length: 37 }, (_, i) => (i * 271 + 98) % 1000) }];
    const wanted = await lossesOfExport(join(name, 'past.onnx'), rows[0]!.ids);
    const product = await runPrepared(await prepareModel(name, settings), rows);
    wanted.loss.forEach((loss, t) => {
      expect(Math.abs(product.loss[0]![t]! - loss)).toBeLessThan(2e-5);
      expect(Math.abs(product.entropy[0]![t]! - wanted.entropy[t]!)).toBeLessThan(2e-5);
    });
  });

  it('refuses 1000 logits beside a tokenizer of 50,257 ids', async () => {
    const info = await describeModel(folder('tiny-random-gpt2-fp32'));
    expect(info.vocabularySize).toBe(1000);
    expect(() => checkVocabulary(info, { vocabularySize: 50257 })).toThrow(/1000 logits.*50256/);
  });

  it.each([
    ['whisper', 'onnx-encoder-decoder', /past_key_cross_0 belongs to an encoder-decoder/],
    ['phi3-v', 'onnx-embeddings-input', /inputs_embeds/],
    ['dummy-decoder', 'onnx-constant-logits', /do not depend on its inputs/],
  ])('refuses %s', async (name, code, message) => {
    await expect(prepareModel(folder(name), settings)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});
