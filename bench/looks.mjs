/**
 * What it costs that a manifest vouches for what was read and that no reader believes an unchecked byte: the same commands by
 * this build and by one from before, in turn, in one run.
 *
 *   node bench/looks.mjs --before ../main [--rounds 5] [--documents 20000] [--model FOLDER]
 *
 * CPU seconds (user and system) of pack and audit, which are bound by reading; wall seconds of score and of the first session,
 * whose model runs in a process of its own that nobody waits for. The least of the rounds, since others share the machine.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { rowsOf, shards } from '../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../fixtures/quickstart/make.mjs';

const { values } = parseArgs({
  options: {
    before: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    documents: { type: 'string', default: '20000' },
    model: { type: 'string' },
  },
});
if (values.before === undefined) throw new Error('name a built checkout with --before');
const builds = {
  before: join(resolve(values.before), 'dist/cli/main.js'),
  now: fileURLToPath(new URL('../dist/cli/main.js', import.meta.url)),
};
const root = mkdtempSync(join(tmpdir(), 'tokensieve-looks-'));
const least = {};
/** CPU and wall seconds of a command. */
function time(build, args) {
  const began = performance.now();
  const script = `
    const { spawnSync } = require('node:child_process');
    const { status, stderr } = spawnSync(process.execPath, ${JSON.stringify([builds[build], ...args])}, { encoding: 'utf8' });
    if (status !== 0 && status !== 3) { console.error(stderr); process.exit(1); }`;
  const { status, stderr } = spawnSync('/bin/bash', ['-c', 'TIMEFORMAT="%U %S"; time node -e "$0"', script], {
    encoding: 'utf8',
  });
  const wall = (performance.now() - began) / 1000;
  if (status !== 0) throw new Error(`${build} ${args.join(' ')}: ${stderr}`);
  const [user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { cpu: user + system, wall };
}
function note(what, build, { cpu, wall }) {
  const key = `${what}\t${build}`;
  const known = least[key] ?? { cpu: Number.POSITIVE_INFINITY, wall: Number.POSITIVE_INFINITY };
  least[key] = { cpu: Math.min(known.cpu, cpu), wall: Math.min(known.wall, wall) };
}
try {
  await makeQuickstart(join(root, 'inputs'));
  const models = join(root, 'inputs/models');
  const model = values.model ?? join(models, 'reference');
  const rows = rowsOf({ ...shards[0], rows: 400 }, defaults.seed);
  const count = Number(values.documents);
  const text = (many) =>
    Array.from({ length: many }, (_, i) => `${JSON.stringify(rows[i % rows.length])}\n`).join('');
  writeFileSync(join(root, 'many.jsonl'), text(count));
  writeFileSync(join(root, 'few.jsonl'), text(Math.ceil(count / 50)));
  const quiet = ['--log', 'none'];
  const shape = ['--sequence-length', '256', '--keep-columns', 'url'];
  const scored = join(root, 'scored');
  const score = (build, out) => [
    ...[
      'score',
      '--shards',
      join(root, 'few.jsonl'),
      '--reference',
      model,
      ...shape,
      '--part-bytes',
      '50000',
    ],
    ...['--cache', join(root, `cache-${build}`), '--device', 'cpu', '--threads', '1', '--out', out, ...quiet],
  ];
  // By the build of before: it would not read a manifest with fields that it does not know.
  time('before', score('before', scored));
  time('now', score('now', join(root, 'warm')));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const build of round % 2 === 0 ? ['before', 'now'] : ['now', 'before']) {
      const out = join(root, `${build}-${round}`);
      note('score', build, time(build, score(build, out)));
      rmSync(out, { recursive: true });
      const pack = [
        'pack',
        '--shards',
        join(root, 'many.jsonl'),
        '--tokenizer',
        model,
        ...shape,
        '--out',
        out,
        ...quiet,
      ];
      note('pack', build, time(build, pack));
      rmSync(out, { recursive: true });
      note('audit', build, time(build, ['audit', scored, '--documents', '1', '--out', out, ...quiet]));
      rmSync(out, { recursive: true });
    }
  }
  console.log('| command | CPU s before | now | | wall s before | now | |\n|---|---|---|---|---|---|---|');
  for (const what of ['pack', 'audit', 'score']) {
    const [a, b] = [least[`${what}\tbefore`], least[`${what}\tnow`]];
    const change = (x, y) => `${((100 * (y - x)) / x).toFixed(1)} %`;
    console.log(
      `| ${what} | ${a.cpu.toFixed(2)} | ${b.cpu.toFixed(2)} | ${change(a.cpu, b.cpu)} | ${a.wall.toFixed(2)} | ${b.wall.toFixed(2)} | ${change(a.wall, b.wall)} |`,
    );
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
