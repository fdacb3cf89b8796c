/** What the fault programs share: small inputs, a Redis, processes whose logs are read, and the look at what is left. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { Redis } from 'ioredis';
import { parquetBytes, shards as quickstartShards, rowsOf } from '../../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../../fixtures/quickstart/make.mjs';

export const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const LEASE = 3;

/** Numbers from a seed: mulberry32. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A corpus of many small parts (two parquet shards, one of jsonl with rows that are set aside), and models of two lines. */
export async function makeInputs(folder) {
  await makeQuickstart(join(folder, 'inputs'));
  const rows = rowsOf({ ...quickstartShards[0], rows: 150 }, defaults.seed);
  const write = (name, bytes) => {
    mkdirSync(join(folder, 'corpus', name, '..'), { recursive: true });
    writeFileSync(join(folder, 'corpus', name), bytes);
  };
  write('a/web.parquet', await parquetBytes(rows.slice(0, 60), 'SNAPPY', 3));
  write('b/web.parquet', await parquetBytes(rows.slice(60, 120), 'GZIP', 3));
  const lines = rows.slice(120).map((row, i) => (i % 20 === 7 ? '{"text": null}' : JSON.stringify(row)));
  write('b/more.jsonl.gz', gzipSync(`${lines.join('\n')}\n`));
  return (name) => {
    const out = join(folder, name);
    const file = join(folder, `${name}.yaml`);
    const model = (role) => join(folder, 'inputs/models', role);
    writeFileSync(
      file,
      `stages:
  - score: { shards: ['${join(folder, 'corpus/**/*.{parquet,jsonl.gz}')}'], reference: ${model('reference')}, current: ${model('current')}, out: ${out}, sequence: { length: 256 }, corpus: { part_bytes: 4096 }, score: { device: cpu }, run: { threads: 1, cache: ${join(folder, 'cache')} } }
  - select: { run: ${out} }
`,
    );
    return { file, out };
  };
}

/** A process of the command line; `seen` are its events so far. */
export function start(args, { url, prefix = [] }) {
  const [program, ...rest] = [...prefix, process.execPath, cli, ...args, '--log', 'json'];
  const child = spawn(program, rest, {
    env: { ...process.env, ...(url && { TOKENSIEVE_REDIS_URL: url }) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const seen = [];
  const listeners = new Set();
  let line = '';
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    line += text;
    const lines = line.split('\n');
    line = lines.pop() ?? '';
    for (const one of lines) {
      if (!one.startsWith('{')) {
        errors += `${one}\n`;
        continue;
      }
      const event = JSON.parse(one);
      seen.push(event);
      for (const listener of listeners) listener(event);
    }
  });
  const over = new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, errors }));
  });
  let isOver = false;
  void over.then(() => {
    isOver = true;
  });
  return {
    child,
    seen,
    over,
    isOver: () => isOver,
    /** The next event that `wanted` says yes to, or null when the process ends first. */
    next: (wanted) =>
      Promise.race([
        new Promise((resolve) => {
          const listener = (event) => {
            if (!wanted(event)) return;
            listeners.delete(listener);
            resolve(event);
          };
          listeners.add(listener);
        }),
        over.then(() => null),
      ]),
  };
}

export const startWorker = (place, ...more) =>
  start(['worker', '--lease', String(LEASE), '--takeovers', '1000000', ...more], place);
export const startCoordinator = (file, place) =>
  start(['enqueue', file, '--follow', '--attempts', '1000', '--backoff', '0.2'], place);

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** A Redis of our own. `bind` adds an address to that of this machine. */
export async function startRedis(folder, { persistent = false, bind = [] } = {}) {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  let child = null;
  const isUp = async () => {
    const client = new Redis({ port, lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.ping();
      return true;
    } catch {
      return false;
    } finally {
      client.disconnect();
    }
  };
  const begin = async () => {
    const keep = persistent ? ['--appendonly', 'yes', '--appendfsync', 'everysec'] : ['--appendonly', 'no'];
    const args = [
      '--port',
      port,
      '--bind',
      '127.0.0.1',
      ...bind,
      '--dir',
      folder,
      '--save',
      '',
      '--protected-mode',
      'no',
      ...keep,
    ];
    child = spawn(process.env.REDIS_SERVER ?? '/usr/bin/redis-server', args.map(String), { stdio: 'ignore' });
    while (!(await isUp())) await wait(50);
  };
  const kill = async () => {
    if (child === null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    child = null;
  };
  await begin();
  return { port, url: `redis://127.0.0.1:${port}`, start: begin, kill };
}

/** sha256 of the files that an output consists of, and the staging files that dead processes left. */
export function lookAt(out) {
  const files = {};
  let staging = 0;
  // A Redis may be killed before the first file is there.
  for (const name of existsSync(out) ? readdirSync(out, { recursive: true }) : []) {
    const path = join(out, name);
    if (/(^|\/)\.(workers|writers)(\/|$)/.test(name) || !statSync(path).isFile()) continue;
    if (name.endsWith('.staging')) staging++;
    else files[relative(out, path)] = createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  const counts = { documents: 0, tokens: 0, parts: 0 };
  const seen = new Set();
  for (const name of Object.keys(files)) {
    if (!/^scored\/.*\.manifest\.json$/.test(name)) continue;
    const { shard, part, counts: own } = JSON.parse(readFileSync(join(out, name), 'utf8'));
    counts.parts++;
    counts.documents += own.documents;
    counts.tokens += own.tokens;
    seen.add(`${shard} ${part}`);
  }
  return { files, staging, counts, distinct: seen.size };
}

/** Files that are missing, counted twice or of other bytes, against a clean run. */
export function compare(clean, { files, counts, distinct, staging }) {
  const names = Object.keys(clean.files);
  return {
    lost: names.filter((name) => files[name] === undefined).length,
    duplicated: counts.parts - distinct + Math.max(0, counts.documents - clean.counts.documents),
    wrong:
      names.filter((name) => files[name] !== undefined && files[name] !== clean.files[name]).length +
      Object.keys(files).filter((name) => clean.files[name] === undefined).length,
    staging,
  };
}

/** Where a process stood, by its last event. */
export function landing({ seen }) {
  const last = seen.findLast(({ event }) => !['progress', 'warning', 'quarantined'].includes(event));
  switch (last?.event) {
    case undefined:
      return 'starting';
    case 'part-started':
      return 'in a part';
    case 'data-committed':
      return 'between data and manifest';
    case 'part-done':
      return 'between parts';
    default:
      return 'planning or waiting';
  }
}

export async function stopAll(processes) {
  for (const { child } of processes) child.kill('SIGKILL');
  await Promise.all(processes.map(({ over }) => over));
}

export const removeFolder = (path) => rmSync(path, { recursive: true, force: true });
