/**
 * Training steps on the CPU: the product beside PyTorch and the machine's matmul rate, everything loaded at once and
 * measured in turn for a few seconds a round, since the machine drifts.
 *
 *   npm run build && node bench/train.mjs [--shape 5m|25m|135m] [--length 256] [--rows 8] [--accumulate 1] [--rounds 5]
 *     [--seconds 5] [--python python3 --configs clm:compile:naive:8,clm:eager:chunked:8,slm:eager:naive:8]
 *     [--only clm,live]
 *
 * clm, live   tokens/s of whole optimiser steps (forward, backward, clipping, AdamW): every token, and the 60% of highest
 *             excess loss ranked live. Share of matmul: 6 FLOP a parameter and token over the rate measured in that round.
 * memory      peak RSS of each in a process of its own after three steps (--only memory).
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureMatmulRate } from '../dist/device/matmul-rate.js';
import { openTrainingModel } from '../dist/train/model.js';
import { shapes, writeLlama } from './support/llama.mjs';
import { median, peakRss } from './support/measure.mjs';
import { openTorch } from './support/torch.mjs';
import { OBJECTIVES, openTrainingStep } from './support/training-step.mjs';

const threads = availableParallelism();
async function openOurs(checkpoint, objective, shape) {
  const model = await openTrainingModel({ start: checkpoint, tokenizer: values.tokenizer, seed: 0 });
  const { batch, step, close } = await openTrainingStep(
    model,
    { objective, ...shape },
    { device: 'cpu', threads },
  );
  const data = batch();
  return {
    parameters: model.parameters.reduce((sum, parameter) => sum + parameter.length, 0),
    step: () => step(data),
    close,
  };
}

async function rateOf({ step }, tokens, seconds) {
  const began = performance.now();
  let steps = 0;
  while (steps === 0 || performance.now() - began < 1000 * seconds) {
    await step();
    steps++;
  }
  return (steps * tokens) / ((performance.now() - began) / 1000);
}

const jobs = {
  matmul: () => measureMatmulRate(threads),
  async memory({ checkpoint, objective, shape }) {
    const opened = await openOurs(checkpoint, objective, shape);
    for (let step = 0; step < 3; step++) await opened.step();
    await opened.close();
    return peakRss();
  },
};

/** Runs a job in a process of its own. */
function alone(job, args = {}) {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(import.meta.url).pathname, ['--job', job, '--tokenizer', values.tokenizer], {
      stdio: ['ignore', 2, 2, 'ipc'],
    });
    child.once('message', resolve);
    child.once('exit', (code) => code !== 0 && reject(new Error(`${job} ended with ${code}`)));
    child.send(args);
  });
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'tokensieve-bench-'));
  const [rows, accumulate, length] = ['rows', 'accumulate', 'length'].map((name) => Number(values[name]));
  const shape = { rows, accumulate, length };
  const tokens = rows * accumulate * length;
  const only = values.only.split(',');
  try {
    const checkpoint = join(folder, 'model');
    writeLlama(checkpoint, { ...shapes[values.shape], max_position_embeddings: 2048 });
    if (only.includes('memory')) {
      const peak = {};
      for (const objective of Object.keys(OBJECTIVES)) {
        peak[objective] = Math.round((await alone('memory', { checkpoint, objective, shape })) / 2 ** 20);
      }
      console.log(JSON.stringify({ bench: 'memory', shape: values.shape, ...shape, peakRssMb: peak }));
      return;
    }
    const ours = {};
    for (const objective of only) ours[objective] = await openOurs(checkpoint, objective, shape);
    const configs = values.python === undefined ? [] : values.configs.split(',');
    const torch =
      values.python === undefined
        ? null
        : await openTorch(values.python, 'paced_train.py', [
            ...[checkpoint, '--sequence-length', values.length, '--tokens', `${tokens}`],
            ...['--threads', `${threads}`, '--configs', values.configs],
          ]);
    const rates = { matmul: [], ...Object.fromEntries([...only, ...configs].map((name) => [name, []])) };
    for (const objective of only) await ours[objective].step();
    for (let round = 0; round < Number(values.rounds); round++) {
      rates.matmul.push(await alone('matmul'));
      for (const objective of only) {
        rates[objective].push(await rateOf(ours[objective], tokens, Number(values.seconds)));
      }
      for (const config of configs) {
        rates[config].push((await torch.measure(config, Number(values.seconds))).tokens_per_s);
      }
    }
    const { parameters } = ours[only[0]];
    torch?.close();
    for (const objective of only) await ours[objective].close();
    const share = (name) =>
      median(rates[name].map((rate, round) => (6 * parameters * rate) / rates.matmul[round]));
    const best = (objective) => {
      const names = configs.filter((name) => name.startsWith(objective === 'live' ? 'slm:' : 'clm:'));
      return names.length === 0 ? null : Math.max(...names.map((name) => median(rates[name])));
    };
    console.log(
      JSON.stringify({
        bench: 'train',
        shape: values.shape,
        parameters,
        ...shape,
        tokensPerSecond: Object.fromEntries(
          Object.entries(rates)
            .filter(([name]) => name !== 'matmul')
            .map(([name, of]) => [name, of.map(Math.round)]),
        ),
        matmulGflops: rates.matmul.map((rate) => Math.round(rate / 1e9)),
        shareOfMatmul: Object.fromEntries(only.map((name) => [name, share(name)])),
        ratio: Object.fromEntries(
          only.map((name) => [name, best(name) === null ? null : median(rates[name]) / best(name)]),
        ),
        ...(rates.live && rates.clm && { liveStepOverClmStep: median(rates.clm) / median(rates.live) }),
        ...(torch && { versions: torch.versions }),
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: {
    shape: { type: 'string', default: '5m' },
    length: { type: 'string', default: '256' },
    rows: { type: 'string', default: '8' },
    accumulate: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    python: { type: 'string' },
    configs: {
      type: 'string',
      default: 'clm:compile:naive:8,clm:eager:naive:8,slm:compile:naive:8,slm:eager:naive:8',
    },
    tokenizer: { type: 'string', default: '../shared/data/models/stories260K-hf' },
    only: { type: 'string', default: 'clm,live' },
    job: { type: 'string' },
  },
});

if (values.job === undefined) await main();
else {
  process.once('message', async (args) => {
    process.send(await jobs[values.job](args));
    process.disconnect();
  });
}
