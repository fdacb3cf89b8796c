/**
 * Parity and speed of scoring on a device, beside PyTorch in the same call. See README.md here.
 *
 *   node bench/gpu/run.mjs [--device cuda|cpu] [--shape 135m|25m] [--lengths 1024,2048] [--batch-tokens 8192]
 *     [--tflops 800] [--python python3] [--only parity,rate] [--out FILE]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { prepareModel } from '../../dist/model/prepare.js';
import { measureMatmulRate } from '../../dist/score/matmul-rate.js';
import { openScorer } from '../../dist/score/scorer.js';
import { randomBatch } from '../support/batch.mjs';
import { shapes, writeLlama } from '../support/llama.mjs';
import { peakRss, python, quantile } from '../support/measure.mjs';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    shape: { type: 'string', default: '135m' },
    lengths: { type: 'string', default: '1024,2048' },
    'batch-tokens': { type: 'string', default: '8192' },
    tflops: { type: 'string', default: '800' },
    python: { type: 'string' },
    only: { type: 'string', default: 'parity,rate' },
    seconds: { type: 'string', default: '5' },
    out: { type: 'string' },
  },
});
const { device } = values;
const threads = availableParallelism();
const lengths = values.lengths.split(',').map(Number);
const batchTokens = Number(values['batch-tokens']);
const phases = values.only.split(',');
const folder = mkdtempSync(join(tmpdir(), 'tokensieve-gpu-'));
const results = [];

function record(result) {
  results.push(result);
  console.log(JSON.stringify(result));
  if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(results, null, 1)}\n`);
}

/** Tokens/s of a scorer kept busy with two batches in flight. */
async function rateOf(scorer, batch, seconds) {
  await scorer.score(batch);
  const started = performance.now();
  let calls = 0;
  const lane = async () => {
    while (calls === 0 || performance.now() - started < seconds * 1000) {
      await scorer.score(batch);
      calls++;
    }
  };
  await Promise.all([lane(), lane()]);
  return (calls * batch.rows * batch.length) / ((performance.now() - started) / 1000);
}

try {
  const checkpoint = join(folder, values.shape);
  writeLlama(checkpoint, shapes[values.shape]);
  const prepare = () =>
    prepareModel(checkpoint, {
      device,
      attention: 'across',
      entropy: false,
      cacheFolder: join(folder, 'cache'),
    });
  const model = await prepare();
  const peak = device === 'cpu' ? await measureMatmulRate(threads) : Number(values.tflops) * 1e12;
  for (const length of lengths) {
    const rows = Math.max(1, Math.floor(batchTokens / length));
    const batch = randomBatch({ rows, length }, model.info.vocabularySize);
    const flops =
      model.info.flopsPerToken.matmul + model.info.flopsPerToken.attentionPerContextToken * length;
    let rival = null;
    if (phases.includes('parity') && values.python !== undefined) {
      const [idsFile, lossFile] = [join(folder, 'ids.bin'), join(folder, 'losses.bin')];
      writeFileSync(idsFile, new Uint8Array(batch.ids.buffer));
      rival = python(values.python, [
        new URL('./torch_side.py', import.meta.url).pathname,
        ...[
          checkpoint,
          idsFile,
          '--length',
          `${length}`,
          '--batch',
          `${rows}`,
          '--device',
          device,
          '--losses',
          lossFile,
        ],
      ]);
      if (rival !== null) {
        const bytes = readFileSync(lossFile);
        const theirs = new Float32Array(
          bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
        );
        const scorer = await openScorer({ models: { reference: model }, device, threads });
        const ours = await scorer.score(batch);
        await scorer.close();
        const differences = ours.flatMap(({ reference }, row) =>
          Array.from(reference.loss.subarray(1), (loss, i) =>
            Math.abs(loss - theirs[row * (length - 1) + i]),
          ),
        );
        record({
          phase: 'parity',
          length,
          device,
          against: rival.device,
          torch: rival.torch,
          transformers: rival.transformers,
          tokens: differences.length,
          mean: differences.reduce((a, b) => a + b, 0) / differences.length,
          p999: quantile(differences, 0.999),
          max: Math.max(...differences),
        });
      }
    }
    if (!phases.includes('rate')) continue;
    for (const models of [{ reference: model }, { reference: model, current: await prepare() }]) {
      const count = Object.keys(models).length;
      const scorer = await openScorer({ models, device, threads: Math.max(1, Math.floor(threads / count)) });
      const rate = await rateOf(scorer, batch, Number(values.seconds));
      await scorer.close();
      const best = rival && Math.max(...Object.values(rival.tokens_per_s));
      record({
        phase: 'rate',
        models: count,
        length,
        rows,
        tokensPerSecond: Math.round(rate),
        tflops: (rate * flops * count) / 1e12,
        shareOfPeak: (rate * flops * count) / peak,
        ...(best && { torchTokensPerSecond: Math.round(best), ratio: (rate * count) / best }),
        peakRssMb: Math.round(peakRss() / 2 ** 20),
      });
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
