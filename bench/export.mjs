// Speed and memory of `tokensieve export`, format by format, against a plain copy with sha256 of as many bytes.
//   npm run build && node bench/export.mjs [megatokens, default 13: 208 MB of weighted files]
//
// Each export is a process. CPU seconds are user and system time of the whole process from the first byte to the last, start
// of Node and loading of modules left out: other load on the machine changes them little. "in" are bytes of the run's Arrow files, each counted
// once (both losses, a weight and an id: 16 bytes a token; of a packed run: 8), "out" those of the export. The goal, 100 MB a CPU second, is
// taken by "in", token data read: one token is 3 bytes of OLMo-core's and 28 of a table's, and the work is by token. Beside it tokens and "out".
// "limit" is the CPU time of a copy that reads the same files with sha256 and writes as many bytes as the export with sha256.
// RSS: the peak of the process, on a quarter of the run and on all of it. Medians of three rounds, formats in turn.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportRun } from '../dist/export/export-run.js';
import { parseExport } from '../dist/export/settings.js';
import { localStorage } from '../dist/storage/local.js';
import { writeLargeRun } from '../fixtures/export/large-run.mjs';
import { writeTextRun } from '../fixtures/export/text-run.mjs';
import { median } from './support/measure.mjs';

const ROUNDS = 3;
const GOAL = 100;
const [, script, first] = process.argv;
const VARIANTS = [
  { to: 'hf' },
  { to: 'nanogpt' },
  { to: 'olmo' },
  { to: 'datatrove' },
  { to: 'megatron' },
  { to: 'parquet' },
  { to: 'parquet', rows: 'sequence' },
  { to: 'parquet', compression: 'zstd' },
];

/** CPU and wall seconds of some work in this process, and the process's peak. */
async function measured(work) {
  const [before, started] = [process.cpuUsage(), performance.now()];
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  const wall = (performance.now() - started) / 1000;
  return { ...result, cpu: (user + system) / 1e6, wall, rss: process.resourceUsage().maxRSS * 1024 };
}

const exported = (settings) =>
  measured(() =>
    exportRun(parseExport(settings, 'bench'), {
      storage: localStorage(),
      sink: () => undefined,
      signal: new AbortController().signal,
      replace: false,
    }),
  );

/** Reads files with sha256, then writes `bytes` with sha256 and fsync: a megabyte at a time. */
async function copy({ files, out, bytes }) {
  const chunk = Buffer.allocUnsafe(1 << 20);
  for (const path of files) {
    const file = await open(path);
    const hash = createHash('sha256');
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
    }
    hash.digest();
    await file.close();
  }
  const file = await open(out, 'w');
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= chunk.length) {
    const part = chunk.subarray(0, Math.min(left, chunk.length));
    hash.update(part);
    await file.write(part);
  }
  hash.digest();
  await file.sync();
  await file.close();
}

const child = (task) =>
  JSON.parse(execFileSync(process.execPath, [script, JSON.stringify(task)], { encoding: 'utf8' }));

async function sequenceFiles(run) {
  const found = await readdir(run, { recursive: true });
  return found
    .filter((name) => /weighted|packed/.test(name) && /\/\d+\.arrow$/.test(name))
    .map((name) => join(run, name));
}

async function main(tokens) {
  const folder = await mkdtemp(join(tmpdir(), 'tokensieve-export-'));
  try {
    console.log(
      `node ${process.version}, load average ${loadavg()
        .map((load) => load.toFixed(1))
        .join(' ')}`,
    );
    for (const kind of ['weighted', 'packed']) {
      const [small, large] = [join(folder, `${kind}-small`), join(folder, kind)];
      await writeLargeRun(small, tokens / 4, kind);
      const { bytes } = await writeLargeRun(large, tokens, kind);
      console.log(
        `\n${kind} run: ${(tokens / 1e6).toFixed(1)} M tokens, ${(bytes / 1e6).toFixed(0)} MB\n${HEAD}`,
      );
      await measure(VARIANTS, { small, large, bytes, folder, extra: {} });
      await rm(small, { recursive: true });
      await rm(large, { recursive: true });
    }
    const [small, large] = [join(folder, 'text-small'), join(folder, 'text')];
    await writeTextRun(small, 1);
    const extra = await writeTextRun(large, 4);
    await rm(join(small, 'packed'), { recursive: true });
    await rm(join(large, 'packed'), { recursive: true });
    const sizes = await Promise.all(
      (await sequenceFiles(large)).map(async (path) => (await localStorage().stat(path)).size),
    );
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    console.log(`\nweighted run with texts: ${(bytes / 1e6).toFixed(0)} MB\n${HEAD}`);
    await measure([{ to: 'jsonl' }], { small, large, bytes, folder, extra });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const HEAD =
  'format                 in MB  out MB | MB/s a core: in    out  Mtok/s | wall in MB/s | of limit | RSS MB, quarter and all';

async function measure(variants, { small, large, bytes, folder, extra }) {
  const out = join(folder, 'out');
  const files = await sequenceFiles(large);
  const results = variants.map(() => ({ cpu: [], wall: [], limit: [], rss: [] }));
  const last = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, variant] of variants.entries()) {
      await rm(out, { recursive: true, force: true });
      const done = child({ kind: 'export', settings: { run: large, out, ...variant, ...extra } });
      await rm(out, { recursive: true });
      const limit = child({ kind: 'copy', files, out: join(folder, 'copy'), bytes: done.bytes });
      results[i].cpu.push(done.cpu);
      results[i].wall.push(done.wall);
      results[i].limit.push(limit.cpu);
      results[i].rss.push(done.rss);
      last[i] = done;
    }
  }
  for (const [i, variant] of variants.entries()) {
    await rm(out, { recursive: true, force: true });
    const smaller = extra.shards && {
      ...extra,
      shards: extra.shards.map((path) => path.replace(large, small)),
    };
    const quarter = child({ kind: 'export', settings: { run: small, out, ...variant, ...smaller } });
    const { cpu, wall, limit, rss } = results[i];
    const rate = (amount, seconds) => amount / 1e6 / seconds;
    const name = Object.values(variant).join(' ');
    const inRate = rate(bytes, median(cpu));
    const columns = [
      name.padEnd(20),
      (bytes / 1e6).toFixed(0).padStart(7),
      (last[i].bytes / 1e6).toFixed(0).padStart(7),
      ' |',
      inRate.toFixed(0).padStart(16),
      rate(last[i].bytes, median(cpu)).toFixed(0).padStart(6),
      rate(last[i].tokens, median(cpu)).toFixed(1).padStart(7),
      ' |',
      rate(bytes, median(wall)).toFixed(0).padStart(12),
      ' |',
      (median(limit) / median(cpu)).toFixed(2).padStart(8),
      ' |',
      (quarter.rss / 1e6).toFixed(0).padStart(6),
      (Math.max(...rss) / 1e6).toFixed(0).padStart(6),
      inRate >= GOAL ? '  goal met' : '  below the goal',
    ];
    console.log(columns.join(' '));
  }
}

if (first?.startsWith('{')) {
  const task = JSON.parse(first);
  const report = await (task.kind === 'copy' ? measured(() => copy(task)) : exported(task.settings));
  console.log(JSON.stringify(report));
} else await main(Number(first ?? 13) * 1e6);
