/**
 * Fuzzing: inputs made from a seed, handled one after another by a child process that is replaced now and then, with
 * limits on each. `node fuzz/run.mjs --seconds 60` goes round all targets; `--targets a,b`, `--seed n`, `--inputs n`
 * (of each target), `--log FILE`. One input again: `--targets a --seed n --index i`. Exit code 1 when there is a find.
 * What it found so far, and what is promised: docs/hostile-input.md.
 */
import { fork } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';

export const TARGETS = [
  'parquet',
  'jsonl',
  'arrow',
  'run',
  'tokenizer',
  'checkpoint',
  'onnx',
  'session',
  'pipeline',
  'command',
  'import',
];

/** Of one input. CPU time, for a loaded machine is slow, not wrong; the wall is for what waits forever. */
const MAX_CPU_MS = 10_000;
const MAX_WALL_MS = 120_000;
/** Until an input is made and handed over: the first of a child waits for all that is imported. */
const MAX_START_MS = 3_600_000;
/** Beyond the input's own size. */
const MAX_MB = 1024;
/** The child is killed well above, so that the machine is safe and the figure is still a figure. */
const KILL_MB = 2500;
const BATCH = 250;

/** Fuzzes until time or inputs are used up. @returns finds and, by target, executions, CPU seconds and outcomes */
export async function fuzz({
  targets = TARGETS,
  seed = 1,
  seconds = Infinity,
  inputs = Infinity,
  from = 0,
  index = null,
  log = () => {},
  batch = BATCH,
}) {
  const ends = Date.now() + seconds * 1000;
  const state = new Map(
    targets.map((name) => [
      name,
      { next: index ?? from, done: 0, cpu_s: 0, slowest_ms: 0, most_mb: 0, outcomes: {} },
    ]),
  );
  const finds = [];
  const limit = index === null ? inputs : 1;
  const open = () => [...state].filter(([, { done }]) => done < limit);
  while (Date.now() < ends && open().length > 0) {
    for (const [name, target] of open()) {
      if (Date.now() >= ends) break;
      const found = await runBatch(name, target, {
        seed,
        count: Math.min(batch, limit - target.done),
        ends,
        log,
      });
      finds.push(...found);
    }
  }
  return { finds, targets: Object.fromEntries(state) };
}

async function runBatch(name, target, { seed, count, ends, log }) {
  const child = fork(new URL('./child.mjs', import.meta.url), {
    execArgv: ['--expose-gc', '--max-old-space-size=2048'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced',
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors = (errors + chunk).slice(-4000);
  });
  let wake = () => {};
  const messages = [];
  let ended = null;
  child.on('message', (message) => {
    messages.push(message);
    wake();
  });
  child.on('exit', (code, signal) => {
    ended = { code, signal };
    wake();
  });
  const next = async (ms) => {
    if (messages.length === 0 && ended === null) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return messages.shift() ?? null;
  };
  const finds = [];
  const report = (find) => {
    const full = { target: name, seed, ...find };
    finds.push(full);
    log({ kind: 'find', ...full });
  };
  const folders = [];
  let broken = false;
  for (let ready = null; ready?.kind !== 'ready' && ended === null; ) {
    ready = await next(60_000);
    if (ready?.kind === 'ready') folders.push(ready.scratch, ready.folder);
  }
  for (let i = 0; i < count && !broken && Date.now() < ends; i++) {
    const index = target.next++;
    child.send({ target: name, seed, index });
    let began = Date.now();
    let running = null;
    let cpuBefore = 0;
    let result = null;
    while (result === null) {
      const message = await next(250);
      if (message?.kind === 'running') {
        running = message;
        began = Date.now();
        cpuBefore = cpuOf(child.pid);
      } else if (message?.kind === 'done') {
        result = message;
      } else if (message === null) {
        const used = running ? cpuOf(child.pid) - cpuBefore : 0;
        const grown = running ? rssOf(child.pid) - running.mb - running.bytes / 2 ** 20 : 0;
        if (ended !== null) {
          report({
            index,
            find: 'abort',
            message: `the process ended with ${ended.signal ?? ended.code}: ${errors.slice(-1500)}`,
          });
        } else if (used > MAX_CPU_MS * 1.5 || Date.now() - began > (running ? MAX_WALL_MS : MAX_START_MS)) {
          report({
            index,
            find: 'hang',
            message: `${Math.round(used)} ms of CPU, ${Date.now() - began} ms, no end`,
          });
        } else if (grown > KILL_MB) {
          report({ index, find: 'memory', message: `grown by ${Math.round(grown)} MB, no end` });
        } else continue;
        target.cpu_s += Math.max(0, used) / 1000;
        broken = true;
        break;
      }
    }
    target.done++;
    if (result === null) continue;
    target.cpu_s += result.cpu_ms / 1000;
    target.slowest_ms = Math.max(target.slowest_ms, Math.round(result.cpu_ms));
    target.most_mb = Math.max(target.most_mb, Math.round(result.mb));
    const outcome = result.find ? `FIND ${result.find.kind}` : [...new Set(result.outcomes)].sort().join('+');
    target.outcomes[outcome] = (target.outcomes[outcome] ?? 0) + 1;
    if (result.find)
      report({ index, find: result.find.kind, message: result.find.message, stack: result.find.stack });
    if (result.cpu_ms > MAX_CPU_MS)
      report({
        index,
        find: 'slow',
        message: `${Math.round(result.cpu_ms)} ms of CPU for ${result.bytes} bytes`,
      });
    if (result.mb > MAX_MB + result.bytes / 2 ** 20)
      report({ index, find: 'memory', message: `${Math.round(result.mb)} MB for ${result.bytes} bytes` });
  }
  if (ended === null) {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (broken) child.kill('SIGKILL');
    else child.send({ kind: 'end' });
    await gone;
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  return finds;
}

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};
/** CPU milliseconds of all threads of a process. */
const cpuOf = (pid) => {
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
};
const rssOf = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { values } = parseArgs({
    options: {
      targets: { type: 'string' },
      seed: { type: 'string' },
      seconds: { type: 'string' },
      inputs: { type: 'string' },
      from: { type: 'string' },
      index: { type: 'string' },
      log: { type: 'string' },
    },
  });
  const given = (name) => (values[name] === undefined ? {} : { [name]: Number(values[name]) });
  const file = values.log;
  if (file !== undefined) mkdirSync(dirname(file), { recursive: true });
  const started = Date.now();
  const log = (entry) => {
    // A line stays a line of JSON: what is shortened is a message, never the text of the entry.
    console.log(
      JSON.stringify(entry, (_, value) => (typeof value === 'string' ? value.slice(0, 1000) : value)),
    );
    if (file !== undefined) appendFileSync(file, `${JSON.stringify(entry)}\n`);
  };
  const result = await fuzz({
    ...(values.targets === undefined ? {} : { targets: values.targets.split(',') }),
    ...given('seed'),
    ...given('seconds'),
    ...given('inputs'),
    ...given('from'),
    ...given('index'),
    log,
  });
  log({
    kind: 'summary',
    started: new Date(started).toISOString(),
    seconds: Math.round((Date.now() - started) / 1000),
    finds: result.finds.length,
    ...(given('seed').seed === undefined ? { seed: 1 } : given('seed')),
    targets: result.targets,
  });
  process.exitCode = result.finds.length > 0 ? 1 : 0;
}
