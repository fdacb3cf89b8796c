/**
 * Scaling of real work: the same parts by one worker pinned to one core and by two workers pinned to a core each.
 *
 *   node bench/scale/two-workers.mjs [--rows 400] [--model FOLDER] [--times 3]
 *
 * Wants a machine with nothing else to do, `taskset` and redis-server, and ../shared/data for shards and a model (any
 * model folder otherwise). The clock runs from the first part begun to the last part done: starting processes is not
 * in it. Prints both times and their ratio for each repetition.
 */
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { removeFolder, start, startRedis } from '../faults/support.mjs';

const shared = fileURLToPath(new URL('../../../shared/data/', import.meta.url));
const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '400' },
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

/** Seconds that workers pinned to these cores take. */
async function time(cores, name) {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    `stages:
  - score: { shards: ['${join(shared, 'shards/*.parquet')}'], reference: ${values.model}, current: ${values.model}, out: ${join(folder, name)}, corpus: { part_bytes: 131072, limit: ${values.rows} }, sequence: { length: 256 }, score: { device: cpu }, run: { threads: 1, cache: ${join(folder, 'cache')} } }
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
