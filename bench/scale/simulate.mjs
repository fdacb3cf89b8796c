/**
 * Many workers and many parts on one machine: a real Redis, real manifests, the queue's own code; a model's work is
 * replaced by a timed wait.
 *
 *   node bench/scale/simulate.mjs [--workers 1000] [--parts 100000] [--seconds 2] [--processes 10] [--die 0]
 *
 * Prints as JSON: the time to drain and what it would be without any overhead, the gap between two parts of a worker,
 * Redis's memory, the cost of listing. `--die 0.3` kills that share of the processes, with all of their workers, at
 * random moments of the first half; nobody takes their place. Needs redis-server.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { MANIFEST_SUFFIX, readManifest } from '../../dist/dataset/manifest.js';
import { packedFolder } from '../../dist/dataset/part-files.js';
import { queuePlace } from '../../dist/queue/connection.js';
import { enqueueRun, followRun } from '../../dist/queue/enqueue.js';
import { closeQueue, openQueue } from '../../dist/queue/open-queue.js';
import { localStorage } from '../../dist/storage/local.js';
import { removeFolder, startRedis } from '../faults/support.mjs';
import { stagesFor } from './simulated.mjs';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '1000' },
    parts: { type: 'string', default: '100000' },
    seconds: { type: 'string', default: '2' },
    processes: { type: 'string', default: '10' },
    lease: { type: 'string', default: '30' },
    die: { type: 'string', default: '0' },
  },
});
const [workers, parts, seconds, processes, lease, die] = [
  'workers',
  'parts',
  'seconds',
  'processes',
  'lease',
  'die',
].map((name) => Number(values[name]));
const folder = mkdtempSync(join(tmpdir(), 'tokensieve-scale-'));
const redis = await startRedis(join(folder, 'redis'));
const out = join(folder, 'out');
const place = queuePlace(redis.url);
const queue = await openQueue(place);
const client = new Redis({ port: redis.port });
const memory = async () => Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1] ?? 0);
const script = fileURLToPath(new URL('./simulate-workers.mjs', import.meta.url));

const start = () => {
  const settings = {
    url: redis.url,
    queue: place.queue,
    out,
    parts,
    seconds,
    workers: workers / processes,
    lease,
  };
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const over = new Promise((resolve) => {
    child.on('close', () => resolve(text.split('\n')[1] ?? ''));
  });
  const started = new Promise((resolve) => child.stdout.once('data', resolve));
  return { child, over, started };
};
const crowd = Array.from({ length: processes }, start);
await Promise.all(crowd.map(({ started }) => started));
// Connections are made before the clock starts.
for (let connected = 0; connected < workers; await wait(500)) {
  connected = Number(/connected_clients:(\d+)/.exec(await client.info('clients'))?.[1] ?? 0) / 3;
}

const stages = stagesFor(out);
const rules = { attempts: 3, backoff: 1, priority: 1000, replace: false };
const began = performance.now();
let planned = 0;
let peak = 0;
let done = 0;
const sampler = setInterval(async () => {
  peak = Math.max(peak, await memory());
  process.stderr.write(
    `${Math.round((performance.now() - began) / 1000)} s: ${done} parts, Redis ${(peak / 2 ** 20).toFixed(0)} MiB at most, load ${loadavg()[0].toFixed(1)}\n`,
  );
}, 5_000);
await enqueueRun(queue, stages, rules);
const deaths = crowd.slice(0, Math.round(processes * die)).map(async ({ child }) => {
  await wait(Math.random() * (parts / workers) * seconds * 500);
  child.kill('SIGKILL');
});
await followRun({
  ...{ place, queue, stages, rules },
  sink(event) {
    if (event.event === 'planned') planned ||= performance.now() - began;
    if (event.event === 'progress') done++;
  },
  signal: new AbortController().signal,
});
const drained = (performance.now() - began) / 1000;
await Promise.all(deaths);
clearInterval(sampler);
peak = Math.max(peak, await memory());
const after = await memory();
const alive = crowd.slice(Math.round(processes * die));
for (const { child } of alive) child.kill('SIGTERM');
const said = (await Promise.all(alive.map(({ over }) => over)))
  .filter(Boolean)
  .map((line) => JSON.parse(line));

const storage = localStorage();
const listBegan = performance.now();
const paths = (await storage.list(packedFolder(out))).filter((path) => path.endsWith(MANIFEST_SUFFIX));
const listMs = performance.now() - listBegan;
const readBegan = performance.now();
for (const path of paths.slice(0, 2_000)) await readManifest(storage, path);
const readMs = (performance.now() - readBegan) / Math.min(2_000, paths.length);

const sorted = (name) => said.flatMap((one) => one[name]).sort((a, b) => a - b);
const at = (values, share) => Math.round((values[Math.floor(values.length * share)] ?? 0) * 10) / 10;
const quantiles = (values) => ({
  p50: at(values, 0.5),
  p90: at(values, 0.9),
  p99: at(values, 0.99),
  n: values.length,
});
const ideal = (parts / workers) * seconds;
console.log(
  JSON.stringify(
    {
      ...{ workers, parts, seconds, processes, lease, die },
      cores: availableParallelism(),
      load: loadavg().map((value) => Math.round(value * 10) / 10),
      manifests: paths.length,
      made_by_survivors: said.reduce((sum, { made }) => sum + made, 0),
      planned_seconds: Math.round(planned / 100) / 10,
      drain_seconds: Math.round(drained * 10) / 10,
      ideal_seconds: ideal,
      overhead_ms_a_part: Math.round(((drained - planned / 1000) * workers * 1000) / parts - seconds * 1000),
      gap_ms: quantiles(sorted('gaps')),
      commit_ms: quantiles(sorted('commits')),
      loop_late_ms: Math.round(Math.max(...said.map(({ loop }) => loop))),
      redis_peak_mib: Math.round((peak / 2 ** 20) * 10) / 10,
      redis_after_mib: Math.round((after / 2 ** 20) * 10) / 10,
      redis_bytes_a_part: Math.round(peak / parts),
      listings: said.flatMap(({ listings }) => listings),
      list_ms: Math.round(listMs),
      read_ms_a_manifest: Math.round(readMs * 100) / 100,
      warnings: said.reduce((sum, { warnings }) => {
        for (const [what, times] of Object.entries(warnings)) sum[what] = (sum[what] ?? 0) + times;
        return sum;
      }, {}),
    },
    null,
    2,
  ),
);
client.disconnect();
await closeQueue(queue);
await redis.kill();
removeFolder(folder);
process.exit(0);
