/**
 * N-gram overlap between the reference's training data and each held-out set: the share of a set's runs of 13 words
 * that the clean corpus, or the arms' corpus, has somewhere.
 *
 *   node studies/mathweb/overlap.mjs --out runs/mathweb > studies/mathweb/results/overlap.json
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

const run = 13;
const { values } = parseArgs({ options: { out: { type: 'string', default: 'runs/mathweb' } } });

const textsOf = (name) =>
  gunzipSync(readFileSync(join(values.out, 'corpus', `${name}.jsonl.gz`)))
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).text);

/** 48-bit digests of a text's runs of 13 words, case and punctuation as they are. */
function* runsOf(text) {
  const words = text.split(/\s+/).filter((word) => word !== '');
  for (let at = 0; at + run <= words.length; at++) {
    const digest = createHash('md5').update(words.slice(at, at + run).join(' ')).digest();
    yield digest.readUIntLE(0, 6);
  }
}

const known = Object.fromEntries(
  ['clean', 'base', 'arms'].map((name) => {
    const set = new Set();
    for (const text of textsOf(name)) for (const digest of runsOf(text)) set.add(digest);
    return [name, set];
  }),
);
const shares = {};
for (const name of ['clean-held-out', 'noisy-held-out', 'gsm8k']) {
  let count = 0;
  const found = { clean: 0, base: 0, arms: 0 };
  for (const text of textsOf(name)) {
    for (const digest of runsOf(text)) {
      count++;
      for (const [corpus, set] of Object.entries(known)) if (set.has(digest)) found[corpus]++;
    }
  }
  shares[name] = {
    runs_of_13_words: count,
    ...Object.fromEntries(Object.entries(found).map(([corpus, hits]) => [`in_${corpus}`, hits / count])),
  };
}
console.log(JSON.stringify(shares, null, 1));
