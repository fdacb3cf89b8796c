/**
 * One scoring graph on this machine's CPU, for tuning: tokens/s, its share of the runtime's own matmul rate, and
 * with --profile the time of every operator. The comparison with others is score.mjs.
 *
 *   npm run build && node bench/model.mjs [--shape 135m|25m] [--batch 4] [--length 512] [--threads 2]
 *     [--sessions 1] [--runs 5] [--entropy] [--profile]
 *
 * The checkpoint is random, made on the spot in a temporary folder. `--sessions 2 --threads 1` runs two
 * sessions in two worker threads, as a reference and a current model would.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import ort from 'onnxruntime-node';
import { measureMatmulRate } from '../dist/device/matmul-rate.js';
import { prepareModel } from '../dist/model/prepare.js';
import { sessionOptions } from '../dist/model/session-options.js';
import { shapes, writeLlama } from './support/llama.mjs';
import { median } from './support/measure.mjs';

/** Seconds of each run of one session. */
async function timeModel({ prepared, threads, batch, length, runs, profile, folder }) {
  const options = sessionOptions(prepared, { device: 'cpu', threads });
  const session = await ort.InferenceSession.create(prepared.graphPath, {
    ...options,
    ...(profile ? { enableProfiling: true, profileFilePrefix: join(folder, 'profile') } : {}),
  });
  let state = 1;
  const ids = Int32Array.from({ length: batch * length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % prepared.info.vocabularySize;
  });
  const feeds = { input_ids: new ort.Tensor('int32', ids, [batch, length]) };
  await session.run(feeds);
  const seconds = [];
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await session.run(feeds);
    seconds.push((performance.now() - start) / 1000);
  }
  if (profile) session.endProfiling();
  return seconds;
}

/** Milliseconds a run by operator, from ONNX Runtime's own trace. */
function printProfile(folder, runs) {
  const file = readdirSync(folder).find((name) => name.startsWith('profile'));
  const events = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const byOperator = new Map();
  for (const { cat, dur, name, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) continue;
    const shapes = (args.input_type_shape ?? [])
      .map((s) => Object.values(s)[0].join('x'))
      .slice(0, 2)
      .join(' ');
    const key = args.op_name === 'Gemm' ? `${args.op_name} ${shapes}` : args.op_name;
    const entry = byOperator.get(key) ?? { us: 0, calls: 0 };
    byOperator.set(key, { us: entry.us + dur, calls: entry.calls + 1 });
  }
  for (const [key, { us, calls }] of [...byOperator].sort((a, b) => b[1].us - a[1].us).slice(0, 20)) {
    console.log(
      `${(us / 1000 / runs).toFixed(1).padStart(9)} ms ${(calls / runs).toFixed(0).padStart(5)}  ${key}`,
    );
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      shape: { type: 'string', default: '135m' },
      batch: { type: 'string', default: '4' },
      length: { type: 'string', default: '512' },
      threads: { type: 'string', default: '2' },
      sessions: { type: 'string', default: '1' },
      runs: { type: 'string', default: '5' },
      entropy: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      folder: { type: 'string' },
    },
  });
  const [batch, length, threads, sessions, runs] = [
    values.batch,
    values.length,
    values.threads,
    values.sessions,
    values.runs,
  ].map(Number);
  const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'tokensieve-bench-'));
  try {
    const checkpoint = join(folder, values.shape);
    if (!existsSync(checkpoint)) writeLlama(checkpoint, shapes[values.shape]);
    const prepared = await prepareModel(checkpoint, {
      device: 'cpu',
      attention: 'across',
      entropy: values.entropy,
      cacheFolder: join(folder, 'cache'),
    });
    const before = (await measureMatmulRate(threads * sessions)) / 1e9;
    const job = { prepared, threads, batch, length, runs, profile: values.profile, folder };
    const results =
      sessions === 1
        ? [await timeModel(job)]
        : await Promise.all(
            Array.from(
              { length: sessions },
              () =>
                new Promise((resolve, reject) => {
                  const worker = new Worker(new URL(import.meta.url), { workerData: job });
                  worker.once('message', resolve);
                  worker.once('error', reject);
                }),
            ),
          );
    const after = (await measureMatmulRate(threads * sessions)) / 1e9;
    const rate = results.reduce((sum, seconds) => sum + (batch * length) / median(seconds), 0);
    const { matmul, attentionPerContextToken } = prepared.info.flopsPerToken;
    const gflops = (rate * (matmul + attentionPerContextToken * length)) / 1e9;
    const matmulGflops = Math.max(before, after);
    console.log(
      JSON.stringify({
        shape: values.shape,
        parameters: prepared.info.parameters,
        batch,
        length,
        threads,
        sessions,
        tokensPerSecond: Math.round(rate),
        gflops: Math.round(gflops),
        matmulGflops: [before, after].map(Math.round),
        share: Number((gflops / matmulGflops).toFixed(3)),
        peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024),
      }),
    );
    if (values.profile) printProfile(folder, runs + 1);
  } finally {
    if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

if (isMainThread) await main();
else parentPort.postMessage(await timeModel(workerData));
