/**
 * What every stage around the model costs, each alone: microseconds of CPU a token, and tokens/s that a core would do of
 * nothing else. CPU time, not the clock's, so that other load on the machine matters little; the best of some rounds, the
 * stages taking turns.
 *
 *   npm run build && node bench/ceilings.mjs [--shard FILE --tokenizer FILE] [--length 2048] [--rounds 3] [--documents 1500]
 *
 * Beside each stage stands what it costs above the least that its bytes allow: a copy in memory for what only moves,
 * SHA-256 for what is hashed, both measured in the same round. The last lines say how many cores one H100 takes: a pair of
 * models of 135M, 1.1B and 7B parameters at 400 (half) and 800 TFLOP/s.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { expandShards } from '../dist/corpus/expand.js';
import { planShard, readShard } from '../dist/corpus/read-shard.js';
import { createDocumentWriter, textDigest } from '../dist/dataset/documents.js';
import { createSequenceWriter } from '../dist/dataset/writer.js';
import { createTextLedger } from '../dist/pack/part-text.js';
import { tokenizedDocument } from '../dist/pack/text-rows.js';
import { planBatches } from '../dist/score/batches.js';
import { toSequenceBatch } from '../dist/score/columns.js';
import { lossesOfRow } from '../dist/score/scorer.js';
import { createPacker } from '../dist/sequence/packing.js';
import { localStorage } from '../dist/storage/local.js';
import { openTokenizer } from '../dist/tokenizer/open.js';

const { values } = parseArgs({
  options: {
    shard: { type: 'string', default: '../shared/data/shards/mathweb-00000-of-00004.parquet' },
    tokenizer: { type: 'string', default: '../shared/data/tokenizers/llama2__dolma-exact/tokenizer.json' },
    length: { type: 'string', default: '2048' },
    rounds: { type: 'string', default: '3' },
    documents: { type: 'string', default: '1500' },
  },
});
if (!existsSync(values.shard)) {
  console.error(`skipped: no shared data (${values.shard}); --shard and --tokenizer name others`);
  process.exit(0);
}
const length = Number(values.length);
const storage = localStorage();
const folder = mkdtempSync(join(tmpdir(), 'tokensieve-ceilings-'));
const roles = ['reference', 'current'];

/** Microseconds of CPU of all threads of this process. */
async function cpuOf(task) {
  const began = process.cpuUsage();
  await task();
  const { user, system } = process.cpuUsage(began);
  return user + system;
}

const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 1 << 26, partBytes: 1 << 30 };
const [shard] = await expandShards(storage, [values.shard]);
async function readDocuments(limit) {
  const documents = [];
  for await (const part of readShard(storage, await planShard(storage, shard, options), options)) {
    for await (const row of part.rows) {
      if (row.kind !== 'document') continue;
      documents.push(row);
      if (documents.length === limit) return documents;
    }
  }
  return documents;
}

const nothing = { write: async () => undefined };
async function* each(items) {
  yield* items;
}

const documents = await readDocuments(Number(values.documents));
const textBytes = documents.reduce((sum, document) => sum + document.textBytes, 0);
const groups = [];
for await (const group of createTextLedger(0, 'scored', nothing, () => undefined).groups(each(documents))) {
  groups.push(group);
}
const [native, portable] = await Promise.all(
  ['native', 'portable'].map((engine) => openTokenizer({ path: values.tokenizer, engine, workers: 1 })),
);
const encode = async (tokenizer) => {
  const encodings = [];
  for (const group of groups) encodings.push(...(await tokenizer.encode(group.map(({ text }) => text))));
  return encodings;
};
const encodings = await encode(native);
const tokens = encodings.reduce((sum, { ids }) => sum + ids.length, 0);
const rules = {
  ...{ length, packing: 'packed', attention: 'across', overlap: 1, eosEligible: true },
  ...{ bosId: native.bosId, eosId: native.eosId },
};
const pack = () => {
  const packer = createPacker(rules);
  const rows = documents.flatMap((document, i) => packer.push(tokenizedDocument(document, encodings[i])));
  return [...rows, ...packer.finish()];
};
const sequences = pack();
const perBatch = Math.max(1, Math.floor(16384 / length));
const batchRules = {
  batchTokens: perBatch * length,
  length,
  attention: 'across',
  windowBatches: 1,
  fixedRows: true,
};
const plan = () => planBatches(sequences, batchRules);
const batches = plan();
const losses = Float32Array.from({ length: perBatch * (length - 1) }, (_, i) => 1 + (i % 7) / 7);
const split = () =>
  batches.flatMap((batch) =>
    batch.sequences.map((sequence, row) => ({
      sequence,
      ...Object.fromEntries(
        roles.map((role) => [role, lossesOfRow(batch, row, sequence, { loss: losses }, role)]),
      ),
    })),
  );
const scored = split();
const gather = () => {
  const columns = [];
  for (let at = 0; at < scored.length; at += perBatch)
    columns.push(toSequenceBatch(scored.slice(at, at + perBatch), roles, false));
  return columns;
};
const columns = gather();
const { port1, port2 } = new MessageChannel();
/** As a batch goes to one session and its losses come back: the ids cloned, the losses moved. */
const messages = () => {
  for (const { ids } of batches) {
    for (const _ of roles) {
      port1.postMessage({ id: 1, ids });
      receiveMessageOnPort(port2);
      const loss = new Float32Array(losses);
      port2.postMessage({ id: 1, loss }, [loss.buffer]);
      receiveMessageOnPort(port1);
    }
  }
};
const tensors = () => {
  for (const { ids, rows, length } of batches)
    for (const _ of roles) new ort.Tensor('int32', ids, [rows, length]);
};
let file = 0;
async function writeArrow() {
  const path = join(folder, `${file++}.arrow`);
  const writer = await createSequenceWriter(storage, path, {
    columns: roles.map((role) => `${role}_loss`),
    ...{ lossPrecision: 'fp32', compression: 'none', metadata: {} },
  });
  for (const batch of columns) await writer.write(batch);
  const { bytes } = await writer.finish();
  await writer.abort();
  return bytes;
}
async function writeDocuments() {
  const writer = await createDocumentWriter(storage, join(folder, `${file++}.arrow`), {
    ...{ keep: [], compression: 'none', metadata: {} },
  });
  await writer.write(
    documents.map(({ row, text, textBytes: bytes }) => ({
      ...{ row, columns: {}, textDigest: textDigest(text), textBytes: bytes, tokens: 1 },
    })),
  );
  await writer.finish();
  await writer.abort();
}
const arrowBytes = await writeArrow();

const [from, to] = [Buffer.alloc(64 << 20, 1), Buffer.alloc(64 << 20)];
const limits = {
  copy: { bytes: from.length, run: () => from.copy(to) },
  sha256: { bytes: from.length, run: () => createHash('sha256').update(from).digest() },
};
/** What moves at least: read once from parquet, or handed on; hashed bytes are hashed. */
const stages = {
  'read and decode parquet': { run: () => readDocuments(documents.length), copy: textBytes },
  'digest and group the text': {
    run: async () => {
      const ledger = createTextLedger(0, 'scored', nothing, () => undefined);
      for await (const _ of ledger.groups(each(documents)));
    },
    sha256: textBytes,
  },
  'tokenize, native': { run: () => encode(native) },
  'tokenize, portable': { run: () => encode(portable) },
  pack: { run: pack, copy: 4 * tokens },
  'make batches': { run: plan, copy: 4 * tokens },
  'to and from two sessions': { run: messages, copy: 2 * 2 * 4 * tokens },
  'tensors of two models': { run: tensors },
  'losses of a row, two models': { run: split, copy: 2 * 4 * tokens },
  'columns of a file': { run: gather, copy: 3 * 4 * tokens },
  'write and hash Arrow': { run: writeArrow, copy: arrowBytes, sha256: arrowBytes },
  'digests of documents': { run: writeDocuments, sha256: textBytes },
};

const best = Object.fromEntries(
  [...Object.keys(limits), ...Object.keys(stages)].map((name) => [name, Infinity]),
);
for (let round = 0; round <= Number(values.rounds); round++) {
  for (const [name, { run }] of [...Object.entries(limits), ...Object.entries(stages)]) {
    // The portable engine needs a second or more a round: a third of the others' rounds will do.
    if (name === 'tokenize, portable' && round % 3 !== 0) continue;
    const cpu = await cpuOf(run);
    // The first round compiles.
    if (round > 0 || name === 'tokenize, portable') best[name] = Math.min(best[name], cpu);
  }
}
port1.close();
await Promise.all([native.close(), portable.close()]);
rmSync(folder, { recursive: true });

const perByte = Object.fromEntries(
  Object.entries(limits).map(([name, { bytes }]) => [name, best[name] / bytes]),
);
console.log(
  `${documents.length} documents, ${(textBytes / 1e6).toFixed(1)} MB of text, ${tokens} tokens, rows of ${length}; a core copies ${(1e-3 / perByte.copy).toFixed(1)} GB/s and hashes ${(1e-3 / perByte.sha256).toFixed(2)} GB/s`,
);
console.log(
  `${'stage'.padEnd(30)} ${'µs a token'.padStart(11)} ${'M tokens/s a core'.padStart(18)} ${'times its limit'.padStart(16)}`,
);
for (const [name, { copy = 0, sha256 = 0 }] of Object.entries(stages)) {
  const micros = best[name] / tokens;
  const limit = copy * perByte.copy + sha256 * perByte.sha256;
  const times = limit === 0 ? '-' : (best[name] / limit).toFixed(1);
  console.log(
    `${name.padEnd(30)} ${micros.toFixed(4).padStart(11)} ${(1 / micros).toFixed(2).padStart(18)} ${times.padStart(16)}`,
  );
}
const sum = (names) => names.reduce((total, name) => total + best[name] / tokens, 0);
const parallel = ['tokenize, native'];
const main = Object.keys(stages).filter((name) => !name.startsWith('tokenize'));
console.log(
  `main thread ${sum(main).toFixed(3)} µs a token (${(1 / sum(main)).toFixed(2)} M tokens/s a process), threads of the native tokenizer ${sum(parallel).toFixed(3)}, of the portable one ${sum(['tokenize, portable']).toFixed(3)}`,
);
console.log(
  `${'pair'.padEnd(6)} ${'TFLOP/s'.padStart(8)} ${'tokens/s'.padStart(10)} ${'main thread'.padStart(12)} ${'native cores'.padStart(13)} ${'portable cores'.padStart(15)} ${'all, native'.padStart(12)}`,
);
/** Forward GFLOP a token at T = 2048 of one model, causal attention counted once: as `tokensieve plan` counts them. */
for (const [name, gflop] of [
  ['135M', 0.34],
  ['1.1B', 2.25],
  ['7B', 14.76],
]) {
  for (const tflops of [400, 800]) {
    const rate = (tflops * 1e3) / (2 * gflop);
    const cores = (stage) => (stage * rate) / 1e6;
    const [host, fast, slow] = [sum(main), sum(parallel), sum(['tokenize, portable'])].map(cores);
    console.log(
      `${name.padEnd(6)} ${String(tflops).padStart(8)} ${Math.round(rate).toLocaleString('en').padStart(10)} ${host.toFixed(2).padStart(12)} ${fast.toFixed(2).padStart(13)} ${slow.toFixed(2).padStart(15)} ${(host + fast).toFixed(2).padStart(12)}`,
    );
  }
}
