/**
 * Everything that is asked of a card, in one command: README.md here.
 *
 *   node bench/gpu/run.mjs [--device cuda|cpu] [--python python3] [--sizes 135m,1.1b] [--only score,parity,…] [--out FOLDER]
 *     [--lengths 1024,2048,4096] [--batch-tokens N] [--precision bf16] [--head-product float32|mixed] [--seconds 3] [--budget 480] [--work FOLDER]
 *     [--shards FILES --tokenizer FILE] [--losses FOLDER] [--tiny] [--perturb]
 */
import { fork, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureMatmulRate } from '../../dist/device/matmul-rate.js';
import { plans, precisionsOf, sizes } from './sizes.mjs';
import { tableOf } from './table.mjs';

/** In this order; shares of the time that is left are handed out by weight. */
const PHASES = [
  { name: 'score', weight: 3 },
  { name: 'torch-score', weight: 4, needsPython: true },
  { name: 'parity', weight: 2, eachPrecision: true },
  { name: 'pipeline', weight: 2 },
  { name: 'train', weight: 4, needsTraining: true },
  { name: 'torch-train', weight: 4, needsTraining: true, needsPython: true },
  { name: 'head', weight: 2, once: true },
];

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    python: { type: 'string' },
    sizes: { type: 'string' },
    only: { type: 'string', default: PHASES.map(({ name }) => name).join(',') },
    lengths: { type: 'string' },
    'batch-tokens': { type: 'string' },
    precision: { type: 'string' },
    'head-product': { type: 'string', default: 'float32' },
    seconds: { type: 'string' },
    budget: { type: 'string', default: '480' },
    out: { type: 'string', default: 'runs/bench-gpu' },
    work: { type: 'string' },
    shards: { type: 'string', default: '' },
    tokenizer: { type: 'string' },
    losses: { type: 'string' },
    tiny: { type: 'boolean', default: false },
    perturb: { type: 'boolean', default: false },
  },
});

const list = (text) => text.split(',').filter((part) => part !== '');
const plan = values.tiny ? plans.tiny : plans.full;
const only = list(values.only);
const unknown = [
  ...only.filter((name) => !PHASES.some((phase) => phase.name === name)),
  ...list(values.sizes ?? '').filter((name) => sizes[name] === undefined),
];
if (unknown.length > 0) {
  console.error(
    `unknown: ${unknown.join(', ')}; phases are ${PHASES.map(({ name }) => name).join(', ')}, sizes ${Object.keys(sizes).join(', ')}`,
  );
  process.exit(2);
}
const chosen = values.sizes === undefined ? plan.sizes : list(values.sizes);
const lengths = values.lengths === undefined ? plan.lengths : list(values.lengths).map(Number);
const began = performance.now();
const left = () => Number(values.budget) - (performance.now() - began) / 1000;
const work = values.work ?? mkdtempSync(join(tmpdir(), 'tokensieve-gpu-'));
mkdirSync(values.out, { recursive: true });
mkdirSync(work, { recursive: true });

/** The jobs of the whole run, in order: a size's phases together, its files being in memory then. */
const jobs = [
  ...chosen.flatMap((size) =>
    PHASES.filter(({ once }) => !once).flatMap((phase) => {
      if (!phase.eachPrecision) return [{ phase, size }];
      const precisions = precisionsOf(values.device);
      const own = { ...phase, weight: phase.weight / precisions.length };
      return precisions.map((precision) => ({ phase: own, size, precision }));
    }),
  ),
  ...PHASES.filter(({ once }) => once).map((phase) => ({ phase, size: plan.headBody })),
].filter(({ phase, size }) => {
  if (!only.includes(phase.name)) return false;
  if (phase.needsTraining && sizes[size].train === null) return false;
  if (!phase.needsPython || values.python !== undefined) return true;
  console.error(
    `skipped: ${phase.name} (${size}): --python names no interpreter with torch and transformers`,
  );
  return false;
});

/** Of the phase that is running, ended with this process. */
let group = null;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (group !== null) process.kill(-group, 'SIGKILL');
    if (values.work === undefined) rmSync(work, { recursive: true, force: true });
    process.exit(1);
  });
}

const machine = await describe();
const results = { machine, records: [] };
save('machine', machine);
let failed = false;
try {
  for (const [index, { phase, size, precision }] of jobs.entries()) {
    const weights = jobs.slice(index).reduce((sum, job) => sum + job.phase.weight * costOf(job.size), 0);
    const seconds = (left() * phase.weight * costOf(size)) / weights;
    const records = await runJob(phase.name, size, seconds, precision);
    results.records.push(...records);
    failed ||= records.some(({ error }) => error !== undefined);
  }
} finally {
  if (values.work === undefined) rmSync(work, { recursive: true, force: true });
}
save('all', results);
const table = tableOf(results);
writeFileSync(join(values.out, 'table.txt'), `${table}\n`);
console.log(table);
if (failed) process.exitCode = 1;

/** A larger model takes longer at everything. */
function costOf(size) {
  return { tiny: 1, '135m': 2, '1.1b': 4, '7b': 8 }[size];
}

function save(name, value) {
  writeFileSync(join(values.out, `${name}.json`), `${JSON.stringify(value, null, 1)}\n`);
}

/** Runs a phase in a process group of its own, ended with all its children when its time is up. */
function runJob(phase, size, seconds, precision) {
  const { shape, batchTokens, parityRows, train } = sizes[size];
  const records = [];
  const name = [size, phase, ...(precision === undefined ? [] : [precision])].join('-');
  const started = performance.now();
  const note = (record) => {
    records.push({ phase, size, device: values.device, ...record });
    save(name, records);
    console.error(JSON.stringify(records.at(-1)));
  };
  const job = {
    ...{ phase, size, shape, work, lengths, train, device: values.device, cache: join(work, 'cache') },
    precision: precision ?? values.precision ?? (values.device === 'cuda' ? 'bf16' : 'fp32'),
    headProduct: values['head-product'],
    batchTokens: Number(values['batch-tokens'] ?? batchTokens),
    parity: { rows: parityRows, length: lengths[Math.floor(lengths.length / 2)] },
    seconds: Number(values.seconds ?? plan.seconds),
    seconds_left: seconds,
    ceilings: machine.ceilings_tflops,
    ...{ vocabularies: plan.vocabularies, headBody: plan.headBody, headLayers: plan.headLayers },
    ...{ pipelineSeconds: plan.pipelineSeconds, partBytes: values.tiny ? 1 << 16 : 1 << 23 },
    ...{ python: values.python, losses: values.losses, perturb: values.perturb },
    ...{ shards: list(values.shards), tokenizer: values.tokenizer },
  };
  return new Promise((resolve) => {
    const child = fork(new URL('./job.mjs', import.meta.url).pathname, [], {
      stdio: ['ignore', 2, 2, 'ipc'],
      detached: true,
    });
    group = child.pid;
    const timer = setTimeout(() => {
      note({ error: `stopped after ${seconds.toFixed(0)} s, its share of the time` });
      process.kill(-child.pid, 'SIGKILL');
    }, Math.max(1, seconds) * 1000);
    child.on('message', ({ record, error }) => {
      if (record) note(record);
      if (error) note({ error });
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      group = null;
      if (code !== 0 && !records.some(({ error }) => error)) note({ error: `ended with ${signal ?? code}` });
      console.error(`${phase} (${size}): ${((performance.now() - started) / 1000).toFixed(1)} s`);
      resolve(records);
    });
    child.send(job);
  });
}

/** The machine, and the ceilings that shares are of: the plan's, or the CPU's matmul rate measured now. */
async function describe() {
  const query = 'name,driver_version,memory.total';
  const smi = spawnSync('nvidia-smi', ['-i', '0', `--query-gpu=${query}`, '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  const threads = availableParallelism();
  return {
    node: process.version,
    processor: cpus()[0]?.model,
    cores: threads,
    gpu: values.device === 'cuda' && smi.status === 0 ? smi.stdout.trim() : null,
    device: values.device,
    ceilings_tflops:
      values.device === 'cpu' && only.some((name) => name !== 'parity')
        ? [Number(((await measureMatmulRate(threads)) / 1e12).toPrecision(3))]
        : plan.ceilings,
  };
}
