/**
 * The study, arm by arm. Each command resumes what was stopped; an arm's result is written when it ends.
 *
 *   npm run build
 *   node studies/mathweb/corpus.mjs --out runs/mathweb
 *   node studies/mathweb/run.mjs --out runs/mathweb [--only slm-seed-1,clm-seed-1] [--threads 1]
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { arms, length, models } from './arms.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/mathweb' },
    only: { type: 'string' },
    // Arms side by side, a thread each, are faster than one after the other on all cores.
    threads: { type: 'string', default: '0' },
  },
});
const { out } = values;
const results = join(import.meta.dirname, 'results');
mkdirSync(results, { recursive: true });

function tokensieve(...args) {
  const began = Date.now();
  const { status } = spawnSync(process.execPath, ['dist/cli/main.js', ...args], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`tokensieve ${args.join(' ')} ended with ${status}`);
  return (Date.now() - began) / 1000;
}

const shard = (name) => ['--shards', join(out, 'corpus', `${name}.jsonl.gz`)];
const rowLength = ['--sequence-length', `${length}`, '--log', 'json', '--device', 'cpu'];

const heldOut = {
  clean: join(out, 'packed/clean-held-out'),
  noisy: join(out, 'packed/noisy-held-out'),
  gsm8k: join(out, 'packed/gsm8k'),
};

function pack(name) {
  tokensieve(
    'pack',
    ...shard(name),
    ...['--tokenizer', join(out, 'tokenizer'), '--sequence-length', `${length}`, '--log', 'json'],
    ...['--out', join(out, 'packed', name)],
  );
}

function train(name, settings) {
  const file = join(out, 'settings', `${name}.yaml`);
  mkdirSync(join(out, 'settings'), { recursive: true });
  const full = {
    ...settings,
    out: join(out, name),
    held_out: { ...settings.held_out, sources: heldOut, tokens: 32_768 },
    run: { device: 'cpu', threads: Number(values.threads) },
  };
  writeFileSync(file, stringify(full));
  tokensieve('train', file, '--log', 'json');
  // Paths as below the study's folder: a result says nothing of the machine it was made on.
  const result = JSON.stringify(resultOf(name, full), null, 1).replaceAll(`"${out}/`, '"');
  writeFileSync(join(results, `${name}.json`), `${result}\n`);
}

/** Every step at which held-out losses were measured, and totals. */
function resultOf(name, { model, data, batch, loss, optimizer, schedule }) {
  const lines = readFileSync(join(out, name, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const metrics = lines.map((line) => JSON.parse(line));
  const curve = metrics
    .filter(({ held_out }) => held_out !== undefined)
    .map(({ step, tokens, loss: all, loss_selected, loss_unselected, held_out }) => ({
      step,
      tokens,
      loss: all,
      loss_selected,
      loss_unselected,
      held_out,
    }));
  const seconds = metrics.reduce((sum, step) => sum + step.seconds, 0);
  return {
    name,
    settings: { model, data, batch, loss, optimizer, schedule },
    seconds: Math.round(seconds),
    curve,
  };
}

function prepare() {
  for (const name of ['base', 'clean', 'clean-held-out', 'noisy-held-out', 'gsm8k']) pack(name);
  const { base, reference } = models(out);
  train('base', base);
  train('reference', reference);
  const pair = ['--reference', join(out, 'reference/model'), '--current', join(out, 'base/model')];
  tokensieve('score', ...shard('arms'), '--limit', '1000', ...pair, ...rowLength, '--out', join(out, 'scored/arms'));
  tokensieve(
    ...['score', ...shard('clean'), '--limit', '400', '--reference', join(out, 'reference/model')],
    ...rowLength,
    ...['--out', join(out, 'scored/clean')],
  );
  for (const method of ['slm', 'random', 'reference-loss']) {
    tokensieve(
      ...['select', join(out, 'scored/arms'), '--method', method, '--keep', '0.6', '--seed', '1'],
      ...['--out', join(out, 'weighted', method), '--log', 'json'],
    );
  }
}

const only = values.only?.split(',');
if (only === undefined || !existsSync(join(out, 'weighted/reference-loss'))) prepare();
for (const [name, settings] of Object.entries(arms(out))) {
  if (only === undefined || only.includes(name)) train(name, settings);
}
