/**
 * SIGKILL of the commands that only read, or write one thing (audit, a comparison, token dynamics, plan, eval, report), at
 * random moments; and training under limits on the size of a file (`ulimit -f`). Afterwards the same command is run again, and
 * what it leaves is held against what it leaves undisturbed.
 *
 *   node bench/faults/reader-kills.mjs [--kills 20] [--seed 1]
 *
 * A line for each command: kills, in how many of them the command was still at it, answers of half a file, other answers, files
 * left over. Ends with 1 where one is not 0.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { rowsOf, shards as webShards } from '../../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../../fixtures/quickstart/make.mjs';
import { cli, randomFrom } from './support.mjs';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
});
const KILLS = Number(values.kills);
const random = randomFrom(Number(values.seed));

/** A process of the command line; with `after`, it is killed so many milliseconds after its start. */
function ran(args, { after = null, limit = null } = {}) {
  const line = [process.execPath, cli, ...args, '--log', 'none'];
  const child =
    limit === null
      ? spawn(line[0], line.slice(1))
      : spawn('sh', ['-c', `ulimit -f ${limit}; exec "$0" "$@"`, ...line]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const timer = after === null ? null : setTimeout(() => child.kill('SIGKILL'), after);
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, said });
    }),
  );
}

const filesBelow = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true })
        .map((name) => join(folder, name))
        .filter((path) => statSync(path).isFile() && !/\/\.(workers|writers)\//.test(path))
    : [];
/** What stands under final names, times left out. */
const digestOf = (folder) => {
  const hash = createHash('sha256');
  for (const path of filesBelow(folder).sort()) {
    if (/staging|tensorboard|report\.html/.test(path)) continue;
    const text = /\.(json|jsonl)$/.test(path)
      ? readFileSync(path, 'utf8').replace(
          /"(seconds|tokens_per_second|crc32c|digest|created|evaluated|date|started)":\s*[^,}\n]+/g,
          '',
        )
      : readFileSync(path);
    hash.update(`${relative(folder, path)}\n`).update(text);
  }
  return hash.digest('hex');
};
/** A file of half its content is no JSON, or no page. */
const isWhole = (path) => {
  const text = readFileSync(path, 'utf8');
  if (path.endsWith('.html')) return text.trimEnd().endsWith('</html>');
  if (!path.endsWith('.json')) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

const root = mkdtempSync(join(tmpdir(), 'tokensieve-reader-kills-'));
let isBad = false;
try {
  await makeQuickstart(join(root, 'inputs'));
  const models = join(root, 'inputs/models');
  const docs = join(root, 'docs.jsonl');
  writeFileSync(
    docs,
    rowsOf({ ...webShards[0], rows: 60 }, defaults.seed)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  );
  const at = (name) => join(root, name);
  const cpu = ['--device', 'cpu', '--threads', '1', '--cache', at('cache')];
  const sound = async (args) => {
    const ended = await ran(args);
    if (ended.code !== 0 && ended.code !== 3)
      throw new Error(`${args.join(' ')}: ${ended.code}\n${ended.said}`);
    return ended;
  };
  const score = [
    'score',
    '--shards',
    docs,
    '--sequence-length',
    '128',
    '--reference',
    join(models, 'reference'),
    ...cpu,
  ];
  await sound([...score, '--current', join(models, 'current'), '--out', at('one')]);
  await sound([
    ...score,
    '--current',
    join(models, 'reference'),
    '--allow-constant',
    '--out',
    at('two'),
  ]).catch(() => undefined);
  await sound(['select', at('one')]);
  cpSync(at('one'), at('two'), { recursive: true, force: true });
  await sound([
    'pack',
    '--shards',
    docs,
    '--sequence-length',
    '128',
    '--tokenizer',
    join(models, 'reference'),
    '--out',
    at('packed'),
  ]);
  const training = [
    'train',
    '--start',
    join(models, 'current'),
    '--data',
    at('packed'),
    '--rows',
    '2',
    '--steps',
    '6',
    '--checkpoint-every',
    '2',
    '--device',
    'cpu',
    '--threads',
    '1',
  ];
  const commands = {
    audit: ['audit', at('one'), '--out', at('out')],
    'audit --compare': ['audit', at('one'), '--compare', at('two'), '--out', at('out')],
    'audit --dynamics': ['audit', at('one'), '--dynamics', at('one'), at('two'), '--out', at('out')],
    plan: [
      'plan',
      '--shards',
      docs,
      '--reference',
      join(models, 'reference'),
      '--out',
      at('planned'),
      '--json',
    ],
    eval: [
      'eval',
      '--model',
      join(models, 'current'),
      '--held-out',
      `web=${docs}`,
      '--out',
      join(at('out'), 'eval.json'),
      ...cpu,
    ],
  };
  for (const [name, args] of Object.entries(commands)) {
    const fresh = () => {
      for (const made of ['out', 'planned']) rmSync(at(made), { recursive: true, force: true });
    };
    fresh();
    const began = performance.now();
    const first = await sound(args);
    const took = performance.now() - began;
    const answer = (said) =>
      name === 'plan' ? said.replace(/"[a-z_]*seconds":[^,}]+/g, '') : digestOf(at('out'));
    const clean = answer(first.said);
    const tally = { command: name, ms: Math.round(took), kills: KILLS, at_it: 0, half: 0, other: 0, left: 0 };
    for (let i = 0; i < KILLS; i++) {
      fresh();
      const killed = await ran(args, { after: random() * took });
      if (killed.signal === 'SIGKILL') tally.at_it++;
      tally.half += filesBelow(at('out')).filter((path) => !/staging/.test(path) && !isWhole(path)).length;
      const again = await sound(args);
      if (answer(again.said) !== clean) tally.other++;
      tally.left += [...filesBelow(at('out')), ...filesBelow(at('planned'))].filter((path) =>
        /staging/.test(path),
      ).length;
    }
    isBad ||= tally.half + tally.other + tally.left > 0;
    console.log(JSON.stringify(tally));
  }
  await sound([...training, '--out', at('trained')]);
  const clean = digestOf(join(at('trained'), 'model'));
  const tally = { command: 'train under ulimit -f', runs: 0, one_line: 0, other: 0, left: 0, ended: 0 };
  for (const limit of [0, 1, 2, 8, 64, 512, 700, 1024, 1400, 2048, 3000, 4096]) {
    rmSync(at('limited'), { recursive: true, force: true });
    tally.runs++;
    const limited = await ran([...training, '--out', at('limited')], { limit });
    const lines = limited.said.trim().split('\n');
    if (limited.code === 1 && lines.length === 1 && /ulimit|limit|space|size/.test(lines[0]))
      tally.one_line++;
    else if (limited.code === 0) tally.ended++;
    else console.log(JSON.stringify({ limit, ...limited, said: limited.said.slice(0, 600) }));
    await sound([...training, '--out', at('limited')]);
    if (digestOf(join(at('limited'), 'model')) !== clean) tally.other++;
    tally.left += filesBelow(at('limited')).filter((path) => /staging/.test(path)).length;
  }
  isBad ||= tally.other + tally.left > 0 || tally.one_line + tally.ended < tally.runs;
  console.log(JSON.stringify(tally));
} finally {
  rmSync(root, { recursive: true, force: true });
}
if (isBad) process.exitCode = 1;
