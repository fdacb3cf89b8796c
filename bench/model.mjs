/**
 * Tokens per second of a scoring graph on this machine's CPU, beside the rate of one large matrix product in
 * the same runtime and the same process: `share` is model FLOP/s over matmul FLOP/s.
 *
 *   npm run build && node bench/model.mjs [--shape 135m|25m] [--batch 4] [--length 512] [--threads 2]
 *     [--sessions 1] [--runs 5] [--entropy] [--profile]
 *
 * The checkpoint is random, made on the spot in a temporary folder. `--sessions 2 --threads 1` runs two
 * sessions in two worker threads, as a reference and a current model would.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import ort from 'onnxruntime-node';
import { prepareModel } from '../dist/model/prepare.js';
import { sessionOptions } from '../dist/model/session-options.js';
import { GraphBuilder } from '../dist/onnx/graph.js';
import { encodeModel, toModelProto } from '../dist/onnx/proto.js';

/** SmolLM2-135M, and a Llama of 25 million parameters. */
export const shapes = {
  '135m': {
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    rope_theta: 100000,
    tie_word_embeddings: true,
  },
  '25m': {
    vocab_size: 32000,
    hidden_size: 384,
    intermediate_size: 1024,
    num_hidden_layers: 8,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    rope_theta: 10000,
    tie_word_embeddings: true,
  },
};

/** Writes a Llama checkpoint of normal-ish random weights (sums of uniforms; the distribution does not matter here). */
export function writeLlama(folder, shape) {
  const { vocab_size: V, hidden_size: H, intermediate_size: I, num_hidden_layers: L } = shape;
  const kv = (H / shape.num_attention_heads) * shape.num_key_value_heads;
  const tensors = [
    ['model.embed_tokens.weight', [V, H]],
    ['model.norm.weight', [H]],
  ];
  for (let layer = 0; layer < L; layer++) {
    const at = (name) => `model.layers.${layer}.${name}.weight`;
    tensors.push(
      [at('input_layernorm'), [H]],
      [at('post_attention_layernorm'), [H]],
      [at('self_attn.q_proj'), [H, H]],
      [at('self_attn.k_proj'), [kv, H]],
      [at('self_attn.v_proj'), [kv, H]],
      [at('self_attn.o_proj'), [H, H]],
      [at('mlp.gate_proj'), [I, H]],
      [at('mlp.up_proj'), [I, H]],
      [at('mlp.down_proj'), [H, I]],
    );
  }
  const header = {};
  let end = 0;
  const parts = tensors.map(([name, dims]) => {
    const values = new Float32Array(dims.reduce((a, b) => a * b, 1));
    if (dims.length === 1) values.fill(1);
    else {
      let state = end + 1;
      for (let i = 0; i < values.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        values[i] = (state / 2 ** 32 - 0.5) * 0.14;
      }
    }
    header[name] = { dtype: 'F32', shape: dims, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
    return Buffer.from(values.buffer);
  });
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, text, ...parts]));
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    ...shape,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
}

/** GFLOP/s of [size, size] × [size, size] with a constant right side: best of several. */
async function matmulRate(threads, size = 2048, runs = 5) {
  const g = new GraphBuilder('matmul');
  const x = g.input('x', 'float32', [size, size]);
  const w = g.float32s('w', new Float32Array(size * size).fill(0.5), [size, size]);
  g.output(g.node('Gemm', [x, w]), 'y', 'float32', [size, size]);
  const session = await ort.InferenceSession.create(encodeModel(toModelProto(g.build())), {
    intraOpNumThreads: threads,
  });
  const feeds = { x: new ort.Tensor('float32', new Float32Array(size * size).fill(0.25), [size, size]) };
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs + 1; run++) {
    const start = performance.now();
    await session.run(feeds);
    if (run > 0) best = Math.min(best, performance.now() - start);
  }
  await session.release();
  return (2 * size ** 3) / best / 1e6;
}

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

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

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
    const before = await matmulRate(threads * sessions);
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
    const after = await matmulRate(threads * sessions);
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
