// `tokensieve select` over a scored run on disk, data-set scope, as a whole process: wall and CPU time, beside numpy on the
// same losses and another build of this package if one is named. Everything in turn, the least of the rounds.
//   npm run build && node bench/select-run.mjs [--tokens 8e6] [--parts 8] [--rounds 5] [--workers 1,2] [--before ../before] [--python python3]
// numpy computes excess losses, the cut (`partition`) and the weights of arrays that lie in memory: no file is read, checked or written.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeScoredRun } from './support/scored-run.mjs';

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '8e6' },
    parts: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    workers: { type: 'string', default: '1' },
    before: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    folder: { type: 'string', default: join(tmpdir(), 'tokensieve-select-run') },
  },
});
const [tokens, parts, rounds] = [values.tokens, values.parts, values.rounds].map(Number);
const here = fileURLToPath(new URL('..', import.meta.url));
const run = join(values.folder, `${tokens}-${parts}`);
if (!existsSync(run)) {
  await mkdir(values.folder, { recursive: true });
  await writeScoredRun(run, { tokens, parts });
}

const NUMPY = `
import sys, time, numpy as np
n = int(float(sys.argv[1]))
rng = np.random.default_rng(1)
reference = (-2 * np.log(rng.random(n))).astype(np.float32)
current = (reference * (0.8 + 0.6 * rng.random(n))).astype(np.float32)
best = None
for _ in range(3):
    start = time.process_time()
    excess = current - reference
    keep = int(0.6 * n)
    cut = np.partition(excess, n - keep)[n - keep]
    weights = (excess >= cut).astype(np.float32)
    spent = time.process_time() - start
    best = spent if best is None else min(best, spent)
print(best)
`;

/** A process to its end: seconds of wall and of CPU, user and system, its children's among them. */
function timed(command, args) {
  const start = performance.now();
  const { status, stderr } = spawnSync('/usr/bin/env', ['time', '-f', '%U %S %M', command, ...args], {
    encoding: 'utf8',
  });
  const wall = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(stderr);
  const [user, system, kilobytes] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { wall, cpu: user + system, mb: kilobytes / 1024 };
}

const out = join(values.folder, 'weighted');
const select = (build, more) => async () => {
  await rm(out, { recursive: true, force: true });
  return timed(process.execPath, [
    join(build, 'dist/cli/main.js'),
    'select',
    run,
    '--scope',
    'dataset',
    '--out',
    out,
    '--log',
    'none',
    ...more,
  ]);
};
const only = (build, args) => async () => timed(process.execPath, [join(build, 'dist/cli/main.js'), ...args]);
const builds = [['now', here], ...(values.before === undefined ? [] : [['before', resolve(values.before)]])];
const tasks = new Map();
for (const [name, build] of builds) {
  tasks.set(`${name}: --version`, only(build, ['--version']));
  tasks.set(`${name}: select --help`, only(build, ['select', '--help']));
  for (const workers of name === 'now' ? values.workers.split(',') : ['1']) {
    tasks.set(
      `${name}: select, workers ${workers}`,
      select(build, workers === '1' ? [] : ['--workers', workers]),
    );
  }
}
tasks.set('numpy, in memory', async () => {
  const { stdout, stderr, status } = spawnSync(values.python, ['-c', NUMPY, String(tokens)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return { wall: Number(stdout), cpu: Number(stdout), mb: 0 };
});

console.log(
  `${tokens} tokens in ${parts} parts; node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}; load ${loadavg()[0].toFixed(1)}`,
);
const best = new Map();
for (let round = 0; round < rounds; round++) {
  for (const [name, work] of tasks) {
    const { wall, cpu, mb } = await work();
    const least = best.get(name) ?? { wall, cpu, mb };
    best.set(name, {
      wall: Math.min(least.wall, wall),
      cpu: Math.min(least.cpu, cpu),
      mb: Math.max(least.mb, mb),
    });
  }
}
for (const [name, { wall, cpu, mb }] of best) {
  console.log(
    `${name.padEnd(28)} wall ${wall.toFixed(2).padStart(6)} s  CPU ${cpu.toFixed(2).padStart(6)} s  peak RSS ${mb.toFixed(0).padStart(4)} MB`,
  );
}
console.log(`load ${loadavg()[0].toFixed(1)}`);
await rm(out, { recursive: true, force: true });
