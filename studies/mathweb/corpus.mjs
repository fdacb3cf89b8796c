/**
 * Cuts the shared corpora into what the study needs, below runs/mathweb/corpus. Nothing of it is committed.
 *
 *   node studies/mathweb/corpus.mjs [--data ../shared/data] [--out runs/mathweb]
 *
 * By document, and by article where one is there twice: PlanetMath's pages (noisy) and its TeX (clean) are the same
 * articles, so an article is held out in both forms or in neither.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { bosToken, eosToken, writeTokenizer } from '../../fixtures/bpe/tokenizer-files.mjs';
import { trainBpe } from '../../fixtures/bpe/train.mjs';

/** Fixed before the first result. */
export const rules = {
  /** Documents of a hundred that are held out. */
  heldOut: { clean: 5, noisy: 4 },
  /** Shards that the base model reads; the arms read every third document of the others. */
  baseShards: [0, 2],
  armsSample: 3,
  vocabulary: 4096,
  /** Every n-th document of the noisy half that the base reads, and of the clean corpus, trains the tokenizer. */
  tokenizerSample: 12,
};

/** A document's place in [0, 100), by the article that it is a form of. */
function bucket(url) {
  const article = url.includes('planetmath/') ? basename(url).replace(/\.(tex|html)$/, '') : url;
  return createHash('sha256').update(article).digest().readUInt32LE(0) % 100;
}

async function noisyShard(path) {
  const bytes = await readFile(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return parquetReadObjects({ file, columns: ['url', 'text'], compressors });
}

async function cleanFolder(folder) {
  const rows = [];
  for (const name of (await readdir(folder)).sort()) {
    const lines = gunzipSync(await readFile(join(folder, name)))
      .toString('utf8')
      .split('\n');
    for (const line of lines) {
      if (line === '') continue;
      const { url, text } = JSON.parse(line);
      rows.push({ url, text, source: name.replace('.jsonl.gz', '') });
    }
  }
  return rows;
}

async function write(out, name, rows) {
  const path = join(out, 'corpus', `${name}.jsonl.gz`);
  await writeFile(path, gzipSync(`${rows.map((row) => JSON.stringify(row)).join('\n')}\n`, { level: 6 }));
  const bytes = rows.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  console.log(`${name.padEnd(16)} ${rows.length} documents, ${(bytes / 1e6).toFixed(1)} MB of text`);
  return { documents: rows.length, text_bytes: bytes };
}

export async function cutCorpus(data, out) {
  await mkdir(join(out, 'corpus'), { recursive: true });
  const shards = (await readdir(join(data, 'shards'))).filter((name) => name.endsWith('.parquet')).sort();
  const [base, arms, noisyHeldOut] = [[], [], []];
  for (const [index, name] of shards.entries()) {
    for (const { url, text } of await noisyShard(join(data, 'shards', name))) {
      if (typeof text !== 'string' || text === '') continue;
      if (bucket(url) < rules.heldOut.noisy) noisyHeldOut.push({ url, text });
      else (rules.baseShards.includes(index) ? base : arms).push({ url, text });
    }
  }
  const clean = await cleanFolder(join(data, 'corpora', 'clean'));
  const isHeldOut = ({ url }) => bucket(url) < rules.heldOut.clean;
  // In an order without meaning, so that any first part of the file is a sample of all of it.
  const digest = ({ url, text }) => createHash('sha256').update(`${url}\n${text}`).digest('hex');
  const cleanTrain = clean
    .filter((row) => !isHeldOut(row))
    .map((row) => ({ row, key: digest(row) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row);
  const gsm8k = (await readFile(join(data, 'eval', 'gsm8k', 'test.jsonl'), 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line, index) => {
      const { question, answer } = JSON.parse(line);
      return { url: `gsm8k#${index}`, text: `${question}\n${answer.replace(/<<[^>]*>>/g, '')}` };
    });
  const made = {
    base: await write(out, 'base', base),
    arms: await write(
      out,
      'arms',
      arms.filter((_, index) => index % rules.armsSample === 0),
    ),
    clean: await write(out, 'clean', cleanTrain),
    noisy_held_out: await write(out, 'noisy-held-out', noisyHeldOut),
    clean_held_out: await write(out, 'clean-held-out', clean.filter(isHeldOut)),
    gsm8k: await write(out, 'gsm8k', gsm8k),
  };
  const sample = [...base, ...cleanTrain].filter((_, index) => index % rules.tokenizerSample === 0);
  const bpe = trainBpe(
    sample.map(({ text }) => text),
    { size: rules.vocabulary, specials: [bosToken, eosToken] },
  );
  const folder = join(out, 'tokenizer');
  await mkdir(folder, { recursive: true });
  await writeTokenizer(folder, bpe);
  await writeFile(join(out, 'corpus.json'), `${JSON.stringify({ rules, made }, null, 1)}\n`);
  return made;
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: '../shared/data' },
      out: { type: 'string', default: 'runs/mathweb' },
    },
  });
  await cutCorpus(values.data, values.out);
}
