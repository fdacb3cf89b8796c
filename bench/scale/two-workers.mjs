/**
 * Scaling of real work: the same parts by one worker pinned to one core and by two workers pinned to a core each.
 *
 *   node bench/scale/two-workers.mjs [--parts 24] [--part-bytes 32768] [--model FOLDER] [--times 3]
 *
 * Wants a machine with nothing else to do, `taskset` and redis-server, and ../shared/data for shards and a model (any
 * model folder otherwise). The shared shards are one row group each, so their documents are dealt into parts of equal text first. The clock runs from the first part begun to the last part done: starting processes is not
 * in it. Prints both times and their ratio for each repetition.
 */
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { expandShards } from '../../dist/corpus/expand.js';
import { planShard, readShard } from '../../dist/corpus/read-shard.js';
import { localStorage } from '../../dist/storage/local.js';
import { removeFolder, start, startRedis } from '../faults/support.mjs';

const shared = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: '24' },
    'part-bytes': { type: 'string', default: '32768' },
    model: { type: 'string', default: join(shared, 'models/stories260K-hf') },
    times: { type: 'string', default: '3' },
  },
});
if (!existsSync(join(shared, 'shards')) || !existsSync(values.model)) {
  console.log('skipped: no shared data');
  process.exit(0);
}
const folder = mkdtempSync(join(tmpdir(), 'tokensieve-two-'));
const redis = await startRedis(join(folder, 'redis'));
try {
  await dealDocuments();
  for (let i = 0; i < Number(values.times); i++) {
    const one = await time([0], `one-${i}`);
    const two = await time([0, 1], `two-${i}`);
    const ratio = (one / two).toFixed(2);
    console.log(JSON.stringify({ one_seconds: one, two_seconds: two, ratio, load: loadavg()[0] }));
  }
} finally {
  await redis.kill();
  removeFolder(folder);
}

/** Writes a shard of JSON lines a part: documents of the shared shards, the last one cut so that all have as many bytes. */
async function dealDocuments() {
  const storage = localStorage();
  const bytes = Number(values['part-bytes']);
  const options = { columns: { text: 'text', keep: [] }, maxTextBytes: 1 << 26, partBytes: 1 << 30 };
  mkdirSync(join(folder, 'corpus'));
  let lines = [];
  let held = 0;
  let written = 0;
  for (const shard of await expandShards(storage, [join(shared, 'shards/*.parquet')])) {
    for await (const part of readShard(storage, await planShard(storage, shard, options), options)) {
      for await (const { text } of part.rows) {
        if (written === Number(values.parts)) return;
        const piece = Buffer.from(text)
          .subarray(0, bytes - held)
          .toString('utf8')
          .replace(/\ufffd$/, '');
        lines.push(JSON.stringify({ text: piece }));
        held += Buffer.byteLength(piece);
        if (held < bytes - 4) continue;
        writeFileSync(
          join(folder, 'corpus', `${String(written).padStart(5, '0')}.jsonl`),
          `${lines.join('\n')}\n`,
        );
        written++;
        lines = [];
        held = 0;
      }
    }
  }
  throw new Error(`the shared shards hold ${written} parts of ${bytes} bytes only`);
}

/** Seconds that workers pinned to these cores take. */
async function time(cores, name) {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    `stages:
  - score: { shards: ['${join(folder, 'corpus/*.jsonl')}'], reference: ${values.model}, current: ${values.model}, out: ${join(folder, name)}, sequence: { length: 256 }, score: { device: cpu }, run: { threads: 1, cache: ${join(folder, 'cache')} } }
`,
  );
  const workers = cores.map((core) => {
    const worker = start(['worker', '--until-empty'], {
      url: redis.url,
      prefix: ['taskset', '-c', String(core)],
    });
    const stamps = [];
    void stampParts(worker, stamps);
    return { worker, stamps };
  });
  const coordinator = start(['enqueue', file, '--follow'], { url: redis.url });
  const { code, errors } = await coordinator.over;
  if (code !== 0 && code !== 3) throw new Error(`${name}: ${code}: ${errors}`);
  await Promise.all(workers.map(({ worker }) => worker.over));
  const all = workers.flatMap(({ stamps }) => stamps);
  if (all.length === 0) throw new Error(`${name}: no part was made`);
  return Math.round(Math.max(...all) - Math.min(...all)) / 1000;
}

async function stampParts(worker, stamps) {
  for (;;) {
    const event = await worker.next((one) => one.event === 'part-started' || one.event === 'part-done');
    if (event === null) return;
    stamps.push(Date.parse(event.time));
  }
}
