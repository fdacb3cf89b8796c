/**
 * Token dynamics of held-out text (H→H, L→H, H→L, L→L, by the paper's rule) from the base model through an arm's
 * checkpoints to its last model. Scored text stays below the study's folder; shares go to results/dynamics.json.
 *
 *   npm run build
 *   node studies/mathweb/dynamics.mjs --out runs/mathweb [--only clm-seed-3,slm-seed-3] [--threads 1]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { tokenDynamics } from '../../dist/audit/compare/dynamics.js';
import { readTokenTexts } from '../../dist/texts/token-texts.js';
import { readDocuments } from '../../dist/dataset/documents.js';
import { localStorage } from '../../dist/storage/local.js';
import { length } from './arms.mjs';

/** Tokens of a set that are scored, and the longest document among them: no set is one book. */
const budget = 65_536;
const longest = 8_192;
const sets = { clean: 'clean-held-out', noisy: 'noisy-held-out' };

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'runs/mathweb' },
    results: { type: 'string', default: join(import.meta.dirname, 'results') },
    only: { type: 'string', default: 'clm-seed-3,slm-seed-3' },
    threads: { type: 'string', default: '0' },
  },
});
const { out } = values;
const folder = join(out, 'dynamics');
const storage = localStorage();

/** A shard of a set's documents in an order without meaning, up to the budget. Returns their number. */
async function sampleOf(name) {
  const rows = gunzipSync(readFileSync(join(out, 'corpus', `${name}.jsonl.gz`)))
    .toString('utf8')
    .split('\n');
  const tokens = new Map();
  for (const path of await storage.list(join(out, 'packed', name))) {
    if (!path.endsWith('.documents.arrow')) continue;
    for await (const batch of (await readDocuments(storage, path)).batches()) {
      for (const document of batch) tokens.set(document.row, document.tokens);
    }
  }
  const order = [...tokens]
    .filter(([, count]) => count <= longest)
    .map(([row, count]) => ({ row, count, key: createHash('sha256').update(rows[row]).digest('hex') }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const taken = [];
  let total = 0;
  for (const { row, count } of order) {
    if (total + count > budget) break;
    total += count;
    taken.push(rows[row]);
  }
  writeFileSync(join(folder, `${name}.jsonl.gz`), gzipSync(`${taken.join('\n')}\n`));
  return taken.length;
}

/** Losses of a set's sample under a model; a finished score is not made again. */
function score(name, model, label) {
  const scored = join(folder, name, label);
  const args = [
    ...['score', '--shards', join(folder, `${name}.jsonl.gz`), '--current', model],
    ...['--sequence-length', `${length}`, '--device', 'cpu', '--threads', values.threads],
    ...['--log', 'json', '--replace', '--out', scored],
  ];
  const { status } = spawnSync(process.execPath, ['dist/cli/main.js', ...args], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`tokensieve ${args.join(' ')} ended with ${status}`);
  return scored;
}

/** The arm's models in training order, from the base. The newest checkpoint is the last model. */
function checkpointsOf(arm) {
  const checkpoints = join(out, arm, 'checkpoints');
  const steps = existsSync(checkpoints) ? readdirSync(checkpoints).filter((name) => /^step-\d+$/.test(name)).sort() : [];
  return [
    { label: 'base', model: join(out, 'base/model') },
    ...steps.slice(0, -1).map((step) => ({ label: `${arm}/${step}`, model: join(checkpoints, step) })),
    { label: `${arm}/last`, model: join(out, arm, 'model') },
  ];
}

const rounded = (value) => (value === null ? null : Number(value.toFixed(4)));
const arms = values.only.split(',').filter((arm) => existsSync(join(out, arm, 'model')));
if (arms.length === 0) throw new Error(`${out}: none of ${values.only} has a model yet; train them with run.mjs`);
const { classOf } = await readTokenTexts(join(out, 'tokenizer'));
mkdirSync(folder, { recursive: true });
const found = { rule: null, tokens_at_most: budget, sets: {} };
for (const [set, name] of Object.entries(sets)) {
  const documents = await sampleOf(name);
  found.sets[set] = {};
  for (const arm of arms) {
    const runs = checkpointsOf(arm).map(({ label, model }) => score(name, model, label));
    const { tokens, mean_last_loss, threshold, classes, by_token_class, paper } = await tokenDynamics(storage, runs, {
      classOf,
    });
    found.rule = { threshold, paper };
    found.sets[set][arm] = {
      checkpoints: runs.map((run) => relative(join(folder, name), run)),
      documents,
      tokens,
      mean_last_loss: rounded(mean_last_loss),
      classes: Object.fromEntries(
        classes.map((one) => [
          one.class,
          { tokens: one.tokens, share: rounded(one.share), losses: one.losses.map(rounded) },
        ]),
      ),
      by_token_class: Object.fromEntries(
        by_token_class.map((one) => [
          one.name,
          { tokens: one.tokens, ...Object.fromEntries(Object.entries(one.shares).map(([key, share]) => [key, rounded(share)])) },
        ]),
      ),
    };
  }
}
mkdirSync(values.results, { recursive: true });
writeFileSync(join(values.results, 'dynamics.json'), `${JSON.stringify(found, null, 1)}\n`);
for (const [set, byArm] of Object.entries(found.sets)) {
  for (const [arm, { tokens, classes }] of Object.entries(byArm)) {
    const shares = Object.entries(classes).map(([name, { share }]) => `${name} ${(100 * share).toFixed(1)}%`);
    console.log(`${set} ${arm}: ${tokens} tokens, ${shares.join(', ')}`);
  }
}
