/**
 * N-gram overlap between each corpus that a model of the study is trained on and each held-out set: the share of a
 * set's runs of 13 words, with case and punctuation as they are, that the corpus has somewhere.
 *
 *   npm run build
 *   node studies/mathweb/overlap.mjs --out runs/mathweb > studies/mathweb/results/overlap.json
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ngramOverlap } from '../../dist/audit/compare/overlap.js';
import { localStorage } from '../../dist/storage/local.js';

const { values } = parseArgs({ options: { out: { type: 'string', default: 'runs/mathweb' } } });
const shard = (name) => [join(values.out, 'corpus', `${name}.jsonl.gz`)];
const evaluation = ['clean-held-out', 'noisy-held-out', 'gsm8k'].map((name) => ({ name, patterns: shard(name) }));

const shares = Object.fromEntries(evaluation.map(({ name }) => [name, {}]));
for (const corpus of ['clean', 'base', 'arms']) {
  const sources = { evaluation, reference: { patterns: shard(corpus) } };
  const found = await ngramOverlap(localStorage(), sources, { n: 13, words: 'exact' });
  for (const { name, ngrams, share } of found.evaluation) {
    shares[name].runs_of_13_words = ngrams;
    shares[name][`in_${corpus}`] = share;
  }
}
console.log(JSON.stringify(shares, null, 1));
