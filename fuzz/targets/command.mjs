/** Command lines of every command with arguments that nobody means: whatever a user can do is answered in words of the package. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runFiles } from '../run-folder.mjs';
import { CANARY, Find, project, workFolder } from '../support.mjs';

export const name = 'command';
const cli = join(project, 'dist/cli/main.js');

const QUEUE = ['--redis', 'REDIS'];
const SCORE = ['--shards', 'PATH', '--reference', 'MODEL', '--current', 'MODEL', '--out', 'OUT'];
/** What each takes: paths that it reads, places that it writes, and settings. */
const COMMANDS = [
  ['run', 'PIPELINE'],
  ['plan', 'PIPELINE'],
  ['plan', ...SCORE],
  ['status', 'PATH'],
  ['enqueue', 'PIPELINE', ...QUEUE],
  ['queue', 'status', ...QUEUE],
  ['queue', 'remove', 'VALUE', ...QUEUE],
  ['score', ...SCORE],
  ['pack', '--shards', 'PATH', '--tokenizer', 'MODEL', '--out', 'OUT'],
  ['import', 'PATH', '--losses', 'PATH', '--out', 'OUT', '--model-name', 'VALUE'],
  ['select', 'PATH', '--out', 'OUT', '--method', 'METHOD'],
  ['train', '--data', 'PATH', '--start', 'MODEL', '--out', 'OUT', '--steps', 'VALUE'],
  ['train', 'PIPELINE'],
  ['eval', '--model', 'MODEL', '--held-out', 'a=PATH', '--out', 'OUT'],
  ['eval', '--model', 'MODEL', '--tasks', 'gsm8k', '--task-data', 'PATH', '--out', 'OUT'],
  ['grade', 'PATH', '--task', 'gsm8k', '--out', 'OUT'],
  ['loglikelihood', 'PATH', '--model', 'MODEL', '--out', 'OUT'],
  ['export', 'PATH', '--to', 'FORMAT', '--out', 'OUT'],
  ['audit', 'PATH', '--out', 'OUT'],
  ['audit', 'PATH', '--compare', 'PATH', '--out', 'OUT'],
  ['verify', 'PATH'],
  ['diff', 'PATH', 'PATH'],
  ['inspect', 'PATH'],
  ['model', 'info', 'MODEL'],
  ['serve', '--config', 'PATH', '--port', '-1'],
  ['worker', '--redis', 'redis://%zz', '--until-empty'],
  ['completion', 'VALUE'],
  ['help', 'VALUE'],
];
const FLAGS = [
  '--sequence-length', '--keep', '--seed', '--threads', '--workers', '--batch-tokens', '--text-column', '--keep-columns',
  '--device', '--precision', '--bos', '--eos', '--scope', '--cache', '--rows', '--tokens', '--every', '--log', '--set',
  '--limit', '--part-bytes', '--max-text-bytes', '--loss', '--selection', '--domains', '--shards', '--columns', '--share', '--json',
  '--replace', '--repair', '--format', '--per', '--as', '--shots', '--checkpoint-every', '--learning-rate', '--tflops', '--nonsense',
]; // biome-ignore format: a list

const VALUES = [
  '',
  ' ',
  '0',
  '-1',
  '1e999',
  'NaN',
  '0x10',
  '9'.repeat(400),
  '1.5',
  'true',
  '[]',
  '{',
  'a=b',
  '=',
  '../x',
  '%zz',
  '\u202eabc',
  'a\nb',
  'é'.repeat(300),
  '__proto__',
  'constructor',
  '*',
];

const places = (_draw) => [
  'nothing', 'empty', 'empty.jsonl', 'garbage', 'garbage.parquet', 'garbage.arrow', 'garbage.pt', 'garbage.yaml', 'docs.jsonl', 'folder',
  'run', 'run/scored', 'run/weighted', 'run/run.json', 'docs.jsonl/below', 'loop', 'loop/x', 'x'.repeat(300), `${'x/'.repeat(2100)}x`, 'nul\0',
  '%zz', '%00', 'a?b', 'a[b', '**', '{a,b', 'folder/', './/folder/..', ' ', '', '-', '~', 'file:///nowhere', 'ftp://127.0.0.1/x',
  'http://127.0.0.1:1/x.jsonl', 'http://[bad', 'http://%zz/', 'https://', 's3://', 's3:', 's3://x', 's3://BAD_bucket!/x', 's3://a/../b', 'hf://', 'hf://datasets/', 'hf://models/a/b', 'hf://datasets/a',
  'redis://x',
]; // biome-ignore format: a list

const REDIS = [
  'redis://%zz',
  'redis://',
  'http://127.0.0.1',
  '',
  'redis://127.0.0.1:99999',
  'redis://127.0.0.1:1/x',
  'rediss:',
  'redis://a:b@/',
  'redis://127.0.0.1:6379/-1',
  'redis://127.0.0.1:6379/0?x=y',
];

export async function make(draw) {
  const runs = await runFiles(draw.pick(['none', 'zstd']), 'fp32');
  const garbage = Buffer.from(Array.from({ length: draw.small(4000) }, () => draw.below(256)));
  const files = {
    ...Object.fromEntries(Object.entries(runs).map(([file, bytes]) => [`run/${file}`, bytes])),
    empty: Buffer.alloc(0),
    'empty.jsonl': Buffer.alloc(0),
    'docs.jsonl': Buffer.from('{"text":"one and one"}\n{"text":null}\n'),
    'p.yaml': Buffer.from('shards: [docs.jsonl]\nreference: model\nout: out\n'),
    'staged.yaml': Buffer.from('stages:\n  - select: { run: run }\n  - audit: { run: run }\n'),
    'model/config.json': Buffer.from('{"architectures":["LlamaForCausalLM"],"model_type":"llama"}'),
    'folder/file': Buffer.from('x'),
    'method.mjs': Buffer.from(
      draw.pick([
        'export default 1',
        'throw new Error("no")',
        'syntax error',
        'export default { plan() { throw 1 } }',
      ]),
    ),
  };
  for (const ending of ['', '.parquet', '.arrow', '.pt', '.yaml']) files[`garbage${ending}`] = garbage;
  const path = () => draw.pick(places(draw));
  const words = {
    PATH: () => (draw.chance(0.3) ? 'run' : path()),
    MODEL: () => draw.pick(['model', 'folder', 'run', path()]),
    OUT: () => draw.pick(['out', 'out', 'docs.jsonl', 'folder', 'run', path()]),
    PIPELINE: () => draw.pick(['p.yaml', 'staged.yaml', path()]),
    METHOD: () =>
      draw.pick(['slm', 'rho', 'random', './method.mjs', 'method.mjs', path(), draw.pick(VALUES)]),
    FORMAT: () =>
      draw.pick(['hf', 'olmo', 'nanogpt', 'jsonl', 'megatron', 'parquet', 'datatrove', draw.pick(VALUES)]),
    VALUE: () => draw.pick(VALUES),
    REDIS: () => draw.pick(REDIS),
  };
  const line = draw
    .pick(COMMANDS)
    .map((word) =>
      word.replace(/PATH|MODEL|OUT|PIPELINE|METHOD|FORMAT|VALUE|REDIS/, (kind) => words[kind]()),
    );
  for (let i = draw.chance(0.5) ? 0 : draw.below(3); i > 0; i--)
    line.splice(
      1 + draw.below(line.length),
      0,
      draw.pick(FLAGS),
      ...(draw.chance(0.8) ? [draw.pick([...VALUES, path()])] : []),
    );
  // Nothing is asked of the network, and nobody waits for a queue.
  return {
    files,
    line: [...line, ...(draw.chance(0.5) ? ['--log', draw.pick(['none', 'json', 'text'])] : [])],
  };
}

let runs = 0;
/** The command line in this process. @returns its exit code and all that it said */
async function command(args, folder) {
  const { argv, exit, exitCode } = process;
  const cwd = process.cwd();
  let said = '';
  let exited = null;
  const written = [process.stdout.write, process.stderr.write];
  const listen = (text, ...rest) => {
    said += typeof text === 'string' ? text : Buffer.from(text).toString();
    if (typeof rest.at(-1) === 'function') rest.at(-1)();
    return true;
  };
  const logs = ['log', 'info', 'warn', 'error'].map((way) => [way, console[way]]);
  process.stdout.write = process.stderr.write = listen;
  for (const [way] of logs) console[way] = (...all) => listen(`${all.join(' ')}\n`);
  process.exit = (code) => {
    exited ??= code ?? process.exitCode ?? 0;
    throw new Error('exit');
  };
  process.argv = [process.execPath, cli, ...args];
  process.exitCode = undefined;
  process.chdir(folder);
  try {
    await import(`${pathToFileURL(cli)}?run=${++runs}`).catch((error) => {
      if (exited === null) throw error;
    });
    return { code: Number(exited ?? process.exitCode ?? 0), said };
  } finally {
    process.chdir(cwd);
    [process.stdout.write, process.stderr.write] = written;
    for (const [way, log] of logs) console[way] = log;
    process.argv = argv;
    process.exit = exit;
    process.exitCode = exitCode;
  }
}

export async function run(folder, { line }) {
  symlinkSync('loop', join(folder, 'loop'));
  const cache = join(workFolder(), 'cache');
  mkdirSync(cache, { recursive: true });
  Object.assign(process.env, {
    XDG_CACHE_HOME: cache,
    TOKENSIEVE_REDIS_URL: '',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1',
    AWS_CONFIG_FILE: join(cache, 'none'),
    AWS_SHARED_CREDENTIALS_FILE: join(cache, 'none'),
    AWS_ACCESS_KEY_ID: 'none',
    AWS_SECRET_ACCESS_KEY: 'none',
  });
  const { code, said } = await command(line, folder);
  const asked = JSON.stringify(line).slice(0, 400);
  const [unexpected] = /^.*unexpected: .*$/m.exec(said) ?? [];
  if (unexpected !== undefined) throw new Find('crash', `${asked}: ${unexpected.slice(0, 400)}`);
  if (/^ {4}at .*\(?(file|node):/m.test(said))
    throw new Find('crash', `${asked}: a stack is shown: ${said.slice(0, 400)}`);
  if (![0, 1, 2, 3].includes(code)) throw new Find('crash', `${asked}: exit code ${code}`);
  if (code !== 0 && !/tokensieve: |"level":|"event":/.test(said) && code !== 3 && said.trim() === '')
    throw new Find('crash', `${asked}: exit code ${code} without a word`);
  if (said.includes(CANARY)) throw new Find('leak', `${asked}: the canary is shown`);
  return [`exit code ${code}`];
}
