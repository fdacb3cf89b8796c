/** A service under every attacker at once, and what those who mean well see of it meanwhile. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inState, newRecord } from '#tokensieve/service/jobs/record.js';
import { openStore } from '#tokensieve/service/jobs/store.js';

export const ATTACKERS = ['keys', 'lists', 'stages', 'tokens', 'bodies', 'large', 'listeners'];

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const JOB = '20260101t000000-0001';
const SMALL = JSON.stringify({ texts: ['The sum of 2 and 3 is 5.'] });
/** Time for sockets and queue to be empty once the attackers have left. */
const AFTER_MS = 10_000;

/**
 * @param folder empty, for the service's root
 * @param options reference and current: model folders; seconds under attack; memory: MiB of bodies
 * @returns milliseconds of health and small scores, megabytes, refusals, and what is left afterwards
 */
export async function attack(
  folder,
  { reference, current, seconds, memory = 256, attackers = ATTACKERS, parts = 20_000 },
) {
  const root = join(folder, 'root');
  const token = randomBytes(16).toString('hex');
  mkdirSync(join(root, 'jobs'), { recursive: true });
  mkdirSync(join(root, 'many'));
  for (let i = 0; i < parts; i++) writeFileSync(join(root, 'many', `${i}.jsonl`), '');
  await seedJob(root, parts);
  writeFileSync(join(folder, 'token'), token, { mode: 0o600 });
  const serving = [
    'serve',
    '--root',
    root,
    '--port',
    '0',
    '--token-file',
    join(folder, 'token'),
    '--memory',
    String(memory),
  ];
  const server = spawn(
    process.execPath,
    [
      cli,
      ...serving,
      '--models',
      `small=${reference},${current}`,
      '--preload',
      '--no-plans',
      '--log',
      'silent',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const children = [server];
  try {
    const [line] = await Promise.race([
      createInterface(server.stdout)
        [Symbol.asyncIterator]()
        .next()
        .then(({ value }) => [value]),
      new Promise((_, reject) =>
        server.once('exit', (code) => reject(new Error(`the service ended with ${code}`))),
      ),
    ]);
    const url = / on (\S+)$/.exec(line)[1];
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const ask = async (path, body) => {
      const began = performance.now();
      const answer = await fetch(`${url}${path}`, { headers, ...(body && { method: 'POST', body }) });
      const text = await answer.text();
      return { ms: performance.now() - began, status: answer.status, text };
    };
    const figure = async (name) =>
      Number(
        new RegExp(`^tokensieve_score\\{figure="${name}"\\} (\\S+)$`, 'm').exec(
          (await ask('/metrics')).text,
        )?.[1],
      );
    const queued = async () =>
      Number(/^tokensieve_score_queued_tokens\{[^}]*\} (\S+)$/m.exec((await ask('/metrics')).text)?.[1]);
    for (let i = 0; i < 5; i++) await ask('/v1/score', SMALL);
    const before = { rss: rss(server.pid), sockets: sockets(server.pid), batches: await figure('batches') };

    const left = attackers.map((kind) => {
      const child = spawn(
        process.execPath,
        [fileURLToPath(new URL('./attackers.mjs', import.meta.url)), kind, url, token, JOB],
        { stdio: 'ignore' },
      );
      children.push(child);
      return new Promise((resolve) => child.once('exit', resolve));
    });
    const seen = { health: [], small: [], rss: [], statuses: {} };
    const note = ({ ms, status }, into) => {
      into.push(ms);
      seen.statuses[status] = (seen.statuses[status] ?? 0) + 1;
    };
    const began = performance.now();
    const until = began + seconds * 1000;
    const repeat = async (act, pause) => {
      while (performance.now() < until) {
        await act();
        await wait(pause);
      }
    };
    await Promise.all([
      repeat(async () => note(await ask('/health/live'), seen.health), 50),
      repeat(async () => note(await ask('/v1/score', SMALL), seen.small), 200),
      repeat(async () => void seen.rss.push(rss(server.pid)), 250),
    ]);
    const took = performance.now() - began;
    const batches = (await figure('batches')) - before.batches;
    for (const child of children.slice(1)) child.kill('SIGKILL');
    await Promise.all(left);
    const gone = performance.now();
    let after;
    do {
      await wait(200);
      after = { sockets: sockets(server.pid) - before.sockets, queued_tokens: await queued() };
    } while ((after.sockets > 2 || after.queued_tokens > 0) && performance.now() - gone < 3 * AFTER_MS);
    const call = took / batches;
    return {
      seconds: Math.round(took / 100) / 10,
      model_call_ms: round(call),
      health_ms: spread(seen.health),
      small_ms: spread(seen.small),
      memory_mb: { before: before.rss, most: Math.max(...seen.rss), after: rss(server.pid) },
      statuses: seen.statuses,
      // The connection that asks is one of them.
      after: { ...after, seconds: Math.round((performance.now() - gone) / 100) / 10 },
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

const round = (ms) => Math.round(ms * 10) / 10;

function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
  return { n: sorted.length, median: at(0.5), p99: at(0.99), worst: round(sorted.at(-1)) };
}

const rss = (pid) =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024);

function sockets(pid) {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(join(folder, fd)).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

/** A job that is done, with a log of so many parts. */
async function seedJob(root, parts) {
  const store = openStore(join(root, 'jobs'));
  const at = '2026-01-01T00:00:00.000Z';
  const fresh = newRecord({
    id: JOB,
    name: 'long',
    submitted: at,
    stages: ['score'],
    parts: [],
    reports: [],
  });
  await store.create(inState(fresh, 'done', at), 'shards: [none.jsonl]\nreference: none\n');
  const lines = Array.from({ length: parts }, (_, part) =>
    JSON.stringify({
      event: 'part-done',
      shard: 'many.parquet',
      part,
      tokens: 4096,
      documents: 10,
      seconds: 1.5,
    }),
  );
  writeFileSync(
    store.files(JOB).log,
    `${JSON.stringify({ event: 'attempt', attempt: 1 })}\n${lines.join('\n')}\n`,
  );
}
