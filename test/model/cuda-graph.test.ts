import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '#tokensieve/model/checkpoint.js';
import { buildGraph, prepareModel } from '#tokensieve/model/prepare.js';
import type { PreparedModel } from '#tokensieve/model/prepared-model.js';
import { emulated } from '#tokensieve/onnx/emulate.js';
import { encodeModel, toModelProto } from '#tokensieve/onnx/proto.js';
import { goldenNames, type Losses, readGolden, writeGoldenCheckpoint } from '../support/oracle/golden.js';
import { runPrepared } from '../support/oracle-run.js';
import { parityTable } from '../support/oracle-table.js';

// The graphs for CUDA, run on the CPU, against transformers in fp64: in float32 as they are; in float16 as they are, by
// kernels and casts of the CPU's own; in float16 and bfloat16 with every value rounded as a GPU would.
const scratch = mkdtempSync(join(tmpdir(), 'cuda-graph-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const cacheFolder = join(scratch, 'cache');

const report = parityTable();

/**
 * Largest difference allowed, in nats. The models' weights are random and large, so losses run to 20 nats and logits
 * to 30: 16-bit states round them more than a trained model's.
 */
const limits = { fp32: 2e-5, fp16: 0.03, bf16: 0.25 };

describe.each(goldenNames())('the CUDA graph of %s', (name) => {
  const golden = readGolden(name);
  const folder = join(scratch, name);
  writeGoldenCheckpoint(golden, folder);
  const batch = { rows: golden.rows.length, length: Math.max(...golden.rows.map((row) => row.length)) };

  it.each(['across', 'within'] as const)(
    'agrees with transformers in fp64, attention %s',
    async (attention) => {
      const wanted = golden.float64[attention];
      const rows = golden.rows.map((ids, r) => ({ ids, documents: golden.documents[r]! }));
      const settings = { device: 'cuda', attention, entropy: true, batch, cacheFolder } as const;
      const gaps: number[] = [];
      const check = async (prepared: PreparedModel, limit: number): Promise<number> => {
        const product = await runPrepared(prepared, rows);
        const gap = Math.max(farthest(product.loss, wanted.loss), farthest(product.entropy, wanted.entropy));
        gaps.push(gap);
        expect(gap).toBeLessThan(limit);
        return gap;
      };
      const exact = await check(await prepareModel(folder, { ...settings, precision: 'fp32' }), limits.fp32);
      const half = await prepareModel(folder, { ...settings, precision: 'fp16' });
      await check(half, limits.fp16);
      for (const precision of ['fp16', 'bf16'] as const) {
        const { graph } = buildGraph(await openCheckpoint(folder), { ...settings, precision });
        const graphPath = join(scratch, `${name}-${attention}-${precision}.onnx`);
        writeFileSync(graphPath, encodeModel(toModelProto(emulated(graph))));
        // Rounding is there: what 16 bits cost shows.
        expect(await check({ ...half, graphPath }, limits[precision])).toBeGreaterThan(10 * exact);
      }
      report([name, attention], gaps);
    },
  );
});

const stored16 = goldenNames().filter((name) => readGolden(name).dtype !== 'F32');

it.each(stored16)('multiplies 16-bit states into float32 logits by either product: %s', async (name) => {
  const golden = readGolden(name);
  const folder = join(scratch, `products-${name}`);
  writeGoldenCheckpoint(golden, folder);
  const checkpoint = await openCheckpoint(folder);
  const batch = { rows: golden.rows.length, length: Math.max(...golden.rows.map((row) => row.length)) };
  const precision = golden.dtype === 'F16' ? 'fp16' : 'bf16';
  const settings = { device: 'cuda', attention: 'across', entropy: false, batch, precision } as const;
  const prepared = await prepareModel(folder, { ...settings, cacheFolder });
  const losses = await Promise.all(
    (['float32', 'mixed'] as const).map(async (headProduct) => {
      const { graph } = buildGraph(checkpoint, { ...settings, headProduct });
      const graphPath = join(scratch, `${name}-${headProduct}.onnx`);
      writeFileSync(graphPath, encodeModel(toModelProto(emulated(graph))));
      return runPrepared(
        { ...prepared, graphPath },
        golden.rows.map((ids) => ({ ids })),
      );
    }),
  );
  // The weights are stored in the type of the states, so both products have the same factors.
  expect(losses[1]!.loss).toEqual(losses[0]!.loss);
});

it('refuses 16 bits where no batch shape is given', async () => {
  const golden = readGolden('qwen2');
  const folder = join(scratch, 'free');
  writeGoldenCheckpoint(golden, folder);
  const settings = {
    device: 'cuda',
    attention: 'across',
    entropy: false,
    precision: 'bf16',
    cacheFolder,
  } as const;
  await expect(prepareModel(folder, settings)).rejects.toMatchObject({ code: 'no-such-graph' });
});

/** Largest difference in nats over the tokens that have context. NaN in the product is never close. */
function farthest(product: readonly Float32Array[], wanted: Losses): number {
  let most = 0;
  let compared = 0;
  wanted.forEach((row, r) => {
    row.forEach((value, t) => {
      if (value === null) return;
      const gap = Math.abs(product[r]![t]! - value);
      most = gap <= most ? most : Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
      compared++;
    });
  });
  expect(compared).toBeGreaterThan(90);
  return most;
}
