/**
 * One flipped bit in a file of a run, then every command that reads it. What came of it: *noticed*, where the command ended
 * with an error or said a word of damage; *harmless*, where it answered as it did of the sound run; *silent*, which is the
 * fault that is looked for, where it answered otherwise and said nothing.
 *
 *   node bench/faults/flips.mjs [--flips 80] [--seed 1] [--only scored,run.json,…] [--log FILE]
 *
 * Commands run in this process, one after another. Ends with a table, and with 1 where anything was silent.
 */
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  fstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { evaluationSection } from '../../dist/report/evaluations.js';
import { localStorage } from '../../dist/storage/local.js';
import { shards as quickstartShards, rowsOf } from '../../fixtures/quickstart/corpus.mjs';
import { defaults, makeQuickstart } from '../../fixtures/quickstart/make.mjs';
import { cli, randomFrom } from './support.mjs';

const { values } = parseArgs({
  options: {
    flips: { type: 'string', default: '80' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    log: { type: 'string' },
  },
});
const FLIPS = Number(values.flips);
// Commands print a file whole, past the streams that are listened to here.
if (fstatSync(1).isFile()) throw new Error('standard output is a file: pipe it, as in `… | tee FILE`');

let runs = 0;
/** The command line in this process: its exit code, and all that it said. */
async function command(...args) {
  const { argv, exit, exitCode } = process;
  let said = '';
  let exited = null;
  const [out, err] = [process.stdout.write, process.stderr.write];
  const listen = (text, ...rest) => {
    said += typeof text === 'string' ? text : Buffer.from(text).toString();
    if (typeof rest.at(-1) === 'function') rest.at(-1)();
    return true;
  };
  const logs = ['log', 'info', 'warn', 'error'].map((name) => [name, console[name]]);
  process.stdout.write = process.stderr.write = listen;
  for (const [name] of logs) console[name] = (...all) => listen(`${all.join(' ')}\n`);
  process.exit = (code) => {
    exited ??= code ?? process.exitCode ?? 0;
    throw new Error('exit');
  };
  process.argv = [process.execPath, cli, ...args];
  process.exitCode = undefined;
  try {
    await import(`${pathToFileURL(cli)}?run=${++runs}`).catch((error) => {
      if (exited === null) throw error;
    });
    return { code: Number(exited ?? process.exitCode ?? 0), said };
  } finally {
    process.stdout.write = out;
    process.stderr.write = err;
    for (const [name, log] of logs) console[name] = log;
    process.argv = argv;
    process.exit = exit;
    process.exitCode = exitCode;
  }
}

const filesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => !/\/\.(workers|writers)\//.test(path))
    .sort();
/** One digest of a folder's files, or of one file; times are left out of JSON. */
const digestOf = (path) => {
  const hash = createHash('sha256');
  for (const file of statSync(path).isDirectory() ? filesBelow(path) : [path]) {
    hash.update(`${relative(path, file)}\n`).update(untimed(file));
  }
  return hash.digest('hex');
};
const untimed = (file) => {
  if (!/\.(json|jsonl|html)$/.test(file)) return readFileSync(file);
  return readFileSync(file, 'utf8').replace(/"(seconds|tokens_per_second|crc32c|digest)":\s*[^,}\n]+/g, '');
};

const root = mkdtempSync(join(tmpdir(), 'tokensieve-flips-'));
const quiet = ['--log', 'none'];
const cpu = ['--device', 'cpu', '--threads', '1'];
try {
  const sound = join(root, 'sound');
  await makeQuickstart(join(root, 'inputs'));
  const models = join(root, 'inputs/models');
  const rows = rowsOf({ ...quickstartShards[0], rows: 24 }, defaults.seed);
  writeFileSync(
    join(root, 'docs.jsonl'),
    rows.map((row, i) => (i === 5 ? '{"text": null}\n' : `${JSON.stringify(row)}\n`)).join(''),
  );
  const cache = join(root, 'cache');
  const shards = ['--shards', join(root, 'docs.jsonl'), '--sequence-length', '128'];
  const pair = [
    '--reference',
    join(models, 'reference'),
    '--current',
    join(models, 'current'),
    '--cache',
    cache,
  ];
  const run = async (codes, ...args) => {
    const { code, said } = await command(...args);
    if (!codes.includes(code)) throw new Error(`${args.join(' ')}: ${code}\n${said}`);
  };
  const score = ['score', ...shards, '--keep-columns', 'url', ...pair, ...cpu, ...quiet];
  await run([3], ...score, '--out', join(sound, 'run'));
  await run([0], 'select', join(sound, 'run'), ...quiet);
  cpSync(join(sound, 'run'), join(sound, 'scored-only'), { recursive: true });
  rmSync(join(sound, 'scored-only/weighted'), { recursive: true });
  await run(
    [3],
    'pack',
    ...shards,
    '--tokenizer',
    join(models, 'reference'),
    ...quiet,
    '--out',
    join(sound, 'packed'),
  );
  const training = [
    'train',
    '--start',
    join(models, 'current'),
    '--rows',
    '2',
    '--checkpoint-every',
    '2',
    ...cpu,
    ...quiet,
  ];
  await run(
    [0],
    ...training,
    '--data',
    join(sound, 'packed'),
    '--steps',
    '4',
    '--out',
    join(sound, 'trained'),
  );
  await run([0], 'export', join(sound, 'run'), '--to', 'nanogpt', '--out', join(sound, 'export'), ...quiet);
  const evaluation = ['eval', '--model', join(models, 'current'), '--cache', cache, ...cpu, ...quiet];
  await run(
    [0, 3],
    ...evaluation,
    '--held-out',
    `web=${join(root, 'docs.jsonl')}`,
    '--out',
    join(sound, 'eval.json'),
  );
  cpSync(cache, join(sound, 'cache'), { recursive: true });

  /** Commands by name: what they are asked of a copy of the sound folder, and what their answer is. */
  const at = (name) => join(root, 'copy', name);
  const made =
    (name, ...args) =>
    async () => {
      const ended = await command(...args, ...quiet, '--out', at(name));
      return { ...ended, answer: () => digestOf(at(name)) };
    };
  const told =
    (...args) =>
    async () => {
      const ended = await command(...args);
      return { ...ended, answer: () => ended.said };
    };
  // Seconds go on between two looks.
  const toldOften =
    (...args) =>
    async () => {
      const ended = await command(...args);
      return { ...ended, answer: () => ended.said.replace(/[\d.]+ (s|min|h)( \d+ (s|min))? ago/g, '') };
    };
  const training_ = (data, ...more) =>
    made('new', ...training.slice(0, -2), '--data', data, '--steps', '2', ...more);
  const resumed = (first) => async () => {
    first();
    const ended = await command(...training, '--data', at('packed'), '--steps', '4', '--out', at('trained'));
    return { ...ended, answer: () => digestOf(join(at('trained'), 'model')) };
  };
  const audit = (name) => async () => {
    const ended = await command('audit', at(name), '--out', at('audit'), ...quiet);
    return { ...ended, answer: () => digestOf(join(at('audit'), 'audit.json')) };
  };
  const commands = {
    verify: told('verify', at('run')),
    'verify packed': told('verify', at('packed')),
    'verify export': told('verify', at('export')),
    select: made('new', 'select', at('run'), '--replace'),
    'select by domain': made('new', 'select', at('run'), '--method', 'domain-weights', '--domains', 'url'),
    audit: audit('run'),
    'audit of losses': audit('scored-only'),
    diff: told('diff', at('run'), join(sound, 'run')),
    inspect: told('inspect', at('run')),
    status: toldOften('status', at('run')),
    'inspect training': told('inspect', at('trained')),
    'status of training': told('status', at('trained')),
    'export of ids': made('new', 'export', at('run'), '--to', 'nanogpt'),
    'export of text': made('new', 'export', at('run'), '--to', 'jsonl'),
    'train on weights': training_(join(at('run'), 'weighted'), '--loss', 'slm', '--selection', 'frozen'),
    'train live': training_(join(at('scored-only'), 'scored'), '--loss', 'slm'),
    'train on all': training_(at('packed')),
    'train, resumed': resumed(() => undefined),
    'train, resumed from before': resumed(() =>
      rmSync(at('trained/checkpoints/step-00000004'), { recursive: true }),
    ),
    'score again': async () => {
      const ended = await command(...score, '--out', at('run'));
      return { ...ended, answer: () => digestOf(join(at('run'), 'scored')) };
    },
    report: async () => {
      const said = await evaluationSection(localStorage(), [at('eval.json')]).then(
        (section) => ({ code: 0, said: JSON.stringify(section) }),
        (error) => ({ code: 1, said: error.message }),
      );
      return { ...said, answer: () => said.said };
    },
    score: async () => {
      const args = score.map((value) => (value === cache ? at('cache') : value));
      const ended = await command(...args, '--out', at('new'));
      return { ...ended, answer: () => digestOf(join(at('new'), 'scored')) };
    },
  };
  const shard = 'docs.jsonl/00000';
  const step = 'trained/checkpoints/step-00000004';
  const cached = (pattern) =>
    relative(
      sound,
      filesBelow(join(sound, 'cache')).find((path) => pattern.test(path)),
    );
  const notesOf = (kind) =>
    relative(
      sound,
      readdirSync(join(sound, 'run/.workers'))
        .filter((name) => /^\d/.test(name))
        .map((name) => join(sound, 'run/.workers', name))
        .find((path) => JSON.parse(readFileSync(path, 'utf8')).kind === kind),
    );
  const kinds = {
    scored: [`run/scored/${shard}.arrow`, ['verify', 'select', 'diff']],
    'scored, without weights': [`scored-only/scored/${shard}.arrow`, ['audit of losses', 'train live']],
    'documents file': [
      `run/scored/${shard}.documents.arrow`,
      ['verify', 'select by domain', 'audit', 'export of text'],
    ],
    'quarantine report': [`run/scored/${shard}.quarantine.jsonl`, ['verify']],
    'scored manifest': [
      `run/scored/${shard}.manifest.json`,
      ['verify', 'select', 'audit', 'diff', 'inspect', 'status'],
    ],
    weighted: [
      `run/weighted/${shard}.arrow`,
      ['verify', 'audit', 'diff', 'export of ids', 'export of text', 'train on weights'],
    ],
    'weighted manifest': [
      `run/weighted/${shard}.manifest.json`,
      ['verify', 'audit', 'diff', 'inspect', 'export of ids', 'train on weights'],
    ],
    packed: [`packed/packed/${shard}.arrow`, ['verify packed', 'train on all']],
    'packed manifest': [`packed/packed/${shard}.manifest.json`, ['verify packed', 'train on all']],
    'run.json': ['run/run.json', ['audit', 'select', 'export of text', 'verify', 'inspect']],
    'notes of a plan': ['run/.workers/plan-scored.json', ['status', 'verify']],
    'notes of a process': [notesOf('scored'), ['status']],
    'notes of inputs': ['run/.workers/inputs-scored.json', ['score again']],
    'state.json': [`${step}/trainer/state.json`, ['train, resumed']],
    'weights of a checkpoint': [`${step}/model.safetensors`, ['train, resumed']],
    'moments of a checkpoint': [`${step}/trainer/moments.safetensors`, ['train, resumed']],
    'config.json of a checkpoint': [`${step}/config.json`, ['train, resumed']],
    'tokenizer of a checkpoint': [`${step}/tokenizer.json`, ['train, resumed']],
    'metrics.jsonl': [
      'trained/metrics.jsonl',
      ['train, resumed', 'train, resumed from before', 'inspect training', 'status of training'],
    ],
    'export manifest': ['export/manifests/00000.json', ['verify export']],
    'export.json': ['export/export.json', ['verify export']],
    'shard of an export': [
      relative(
        sound,
        filesBelow(join(sound, 'export')).find((path) => /\.bin$/.test(path)),
      ),
      ['verify export'],
    ],
    'report of eval': ['eval.json', ['report']],
    'cached graph': [cached(/model\.onnx$/), ['score']],
    'remembered hash': [cached(/hashes\/.*\.json$/), ['score']],
  };
  const fresh = () => {
    rmSync(join(root, 'copy'), { recursive: true, force: true });
    cpSync(sound, join(root, 'copy'), { recursive: true });
  };
  const answers = new Map();
  const answerOf = async (name) => {
    if (answers.has(name)) return answers.get(name);
    fresh();
    const { code, answer, said } = await commands[name]();
    if (code !== 0 && code !== 3) throw new Error(`${name} of the sound run: ${code}\n${said}`);
    answers.set(name, answer());
    return answers.get(name);
  };
  const random = randomFrom(Number(values.seed));
  const table = [];
  const only = values.only?.split(',');
  for (const [kind, [file, readers]] of Object.entries(kinds)) {
    if (only !== undefined && !only.includes(kind)) continue;
    for (const reader of readers) {
      const sane = await answerOf(reader);
      const tally = { kind, reader, flips: FLIPS, noticed: 0, harmless: 0, silent: 0 };
      for (let i = 0; i < FLIPS; i++) {
        fresh();
        const bytes = readFileSync(at(file));
        const place = Math.floor(random() * bytes.length);
        const bit = Math.floor(random() * 8);
        bytes[place] ^= 1 << bit;
        writeFileSync(at(file), bytes);
        const { code, said, answer } = await commands[reader]();
        const isNoticed = ![0, 3].includes(code) || /damaged|made again|digest/.test(said);
        const same = () => {
          try {
            return answer() === sane;
          } catch {
            return false;
          }
        };
        const outcome = isNoticed ? 'noticed' : same() ? 'harmless' : 'silent';
        tally[outcome]++;
        if (outcome === 'silent' && values.log !== undefined)
          appendFileSync(
            values.log,
            `${JSON.stringify({ kind, reader, place, bit, code, said: said.slice(0, 400) })}\n`,
          );
      }
      table.push(tally);
      console.log(JSON.stringify(tally));
    }
  }
  console.log('\n| file | read by | flips | noticed | harmless | silent |\n|---|---|---|---|---|---|');
  for (const row of table)
    console.log(
      `| ${row.kind} | ${row.reader} | ${row.flips} | ${row.noticed} | ${row.harmless} | ${row.silent} |`,
    );
  if (table.some(({ silent }) => silent > 0)) process.exitCode = 1;
} finally {
  rmSync(root, { recursive: true, force: true });
}
