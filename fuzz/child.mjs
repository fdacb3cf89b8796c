/** Handles inputs one after another, as the parent asks, and watches what each one costs and touches. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { watchFiles } from './watch.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'tokensieve-fuzz-input-'));
const input = join(scratch, 'input');
const outside = join(scratch, 'outside');
mkdirSync(outside);
// Before the package is loaded, so that its imports of node:fs are the watched ones.
const watch = watchFiles({ input, outside });
const { CANARY, Find, workFolder } = await import('./support.mjs');
const { drawsOf } = await import('./random.mjs');
watch.allow(workFolder());
// A file of bytes that would do as weights, and that shows where text is echoed.
writeFileSync(join(outside, 'canary.txt'), `${CANARY}\n`.repeat(5000));
writeFileSync(join(outside, 'canary.json'), JSON.stringify({ [CANARY]: CANARY }));

const targets = new Map();
const load = async (name) => {
  if (!targets.has(name)) targets.set(name, await import(`./targets/${name}.mjs`));
  return targets.get(name);
};

const statusOf = (field) => {
  const found = new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1] ?? 0) / 1024;
};
const resetPeak = () => {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {}
};

let stray = null;
process.on('uncaughtException', (error) => {
  stray = error;
});
process.on('unhandledRejection', (error) => {
  stray = error;
});

/** A path of an input: bytes, or a link (`{ link }`) to somewhere. */
function writeInput(files) {
  rmSync(input, { recursive: true, force: true });
  mkdirSync(input, { recursive: true });
  let bytes = 0;
  for (const [name, content] of Object.entries(files)) {
    const path = join(input, name);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof content === 'object' && !(content instanceof Uint8Array)) symlinkSync(content.link, path);
    else {
      writeFileSync(path, content);
      bytes += content.length;
    }
  }
  return bytes;
}

/** An input that the harness itself came to grief with. */
const notTried = (index, error) => ({
  index,
  outcomes: [],
  find: { kind: 'harness', message: String(error?.stack ?? error) },
  ms: 0,
  cpu_ms: 0,
  mb: 0,
  bytes: 0,
});

export async function handle({ target, seed, index }) {
  const { make, run } = await load(target);
  const draw = drawsOf(target, seed, index);
  draw.paths = [
    join(outside, 'canary.txt'),
    '../outside/canary.txt',
    'sub/../../outside/canary.txt',
    'link/canary.txt',
    './/..//outside/canary.txt',
    `file://${outside}/canary.txt`,
    '..\\outside\\canary.txt',
    '/proc/self/environ',
  ];
  draw.outside = outside;
  let made;
  try {
    made = await make(draw);
  } catch (error) {
    return notTried(index, error);
  }
  const bytes = writeInput(made.files);
  stray = null;
  globalThis.gc?.();
  const before = statusOf('VmRSS');
  resetPeak();
  watch.start();
  const cpu = process.cpuUsage();
  const started = performance.now();
  let outcomes = [];
  let find = null;
  process.send?.({ kind: 'running', index, mb: before, bytes });
  try {
    outcomes = await run(input, made);
    await new Promise((resolve) => setImmediate(resolve));
    if (stray)
      throw new Find('stray', `thrown where nobody catches: ${String(stray?.stack ?? stray).slice(0, 600)}`);
  } catch (error) {
    const { kind = 'harness', message, cause } = error;
    const from = cause ?? error;
    find = { kind, message: String(message).slice(0, 600), stack: String(from?.stack ?? '').slice(0, 3000) };
  }
  const { user, system } = process.cpuUsage(cpu);
  const ms = performance.now() - started;
  const mb = Math.max(0, statusOf('VmHWM') - before);
  const touched = watch.stop();
  if (!find && touched.length > 0) find = { kind: 'escape', message: touched.slice(0, 5).join('; ') };
  if (!find && (Object.hasOwn(Object.prototype, 'polluted') || Object.keys(Object.prototype).length > 0))
    find = { kind: 'pollution', message: 'Object.prototype was changed' };
  if (!find && globalThis.__ran) find = { kind: 'code', message: 'code of the input ran' };
  return { index, outcomes, find, ms, cpu_ms: (user + system) / 1000, mb, bytes };
}

process.on('message', async (task) => {
  if (task.kind === 'end') {
    rmSync(scratch, { recursive: true, force: true });
    rmSync(workFolder(), { recursive: true, force: true });
    process.exit(0);
  }
  // A target that does not load is told of: the parent waits for an answer to each input.
  const result = await handle(task).catch((error) => notTried(task.index, error));
  process.send?.({ kind: 'done', ...result });
});
process.send?.({ kind: 'ready', scratch, folder: workFolder() });
