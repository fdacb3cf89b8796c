/** How a command ends when nobody reads what it prints, the disk of its report is full, or Ctrl-C comes twice: real processes. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cliPath, runCli } from '../support/cli.js';
import {
  manySmallParts,
  type QuickstartInputs,
  quickstartInputs,
  temporaryFolder,
} from '../support/quickstart.js';
import { tinyLlama } from '../support/training.js';

const folder = temporaryFolder();
const packed = join(folder, 'packed');
let inputs: QuickstartInputs;
let shards: string;

beforeAll(async () => {
  inputs = await quickstartInputs(join(folder, 'inputs'));
  shards = await manySmallParts(join(folder, 'corpus'));
  const pack = ['pack', '--shards', shards, '--tokenizer', inputs.reference, '--sequence-length', '64'];
  expect((await runCli([...pack, '--log', 'none', '--out', packed])).code).toBe(3);
});

/** Runs a command of the shell, in which $CLI is the command line. */
function shell(script: string) {
  const { status, signal, stdout, stderr } = spawnSync('bash', ['-c', script], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, CLI: `${process.execPath} ${cliPath}`, CORPUS: shards, MODEL: inputs.reference },
  });
  return { status, signal, stdout, stderr };
}

/** The command with a reader that never reads; it prints the command's exit code. */
const unread = (command: string): string => `$CLI ${command} | true; echo \${PIPESTATUS[0]}`;

/** The run with one byte of its first data file changed. */
function damagedRun(name: string): string {
  const out = join(folder, name);
  spawnSync('cp', ['-r', packed, out]);
  const file = readdirSync(out, { recursive: true, encoding: 'utf8' })
    .filter((one) => /\d\.arrow$/.test(one))
    .sort()[0] as string;
  const bytes = readFileSync(join(out, file));
  bytes[1500] = (bytes[1500] as number) ^ 1;
  writeFileSync(join(out, file), bytes);
  return name;
}

describe('a reader of standard output that goes away', () => {
  it('leaves a pipeline to run to its end', () => {
    writeFileSync(
      join(folder, 'two.yaml'),
      JSON.stringify({
        version: 1,
        stages: [
          {
            pack: {
              shards: [shards],
              tokenizer: { path: inputs.reference },
              sequence: { length: 64 },
              out: 'one',
            },
          },
          { export: { run: 'one', to: 'nanogpt', out: 'two' } },
        ],
      }),
    );
    // `true` never reads, and is gone before the first line.
    const { stdout, stderr } = shell(unread('run two.yaml --log none'));
    expect(stdout, stderr).toBe('3\n');
    expect(existsSync(join(folder, 'two', 'export.json'))).toBe(true);
  });

  it.each([[''], ['--json']])('leaves verify %s of a damaged run its exit code', (flag) => {
    const run = damagedRun(`damaged${flag}`);
    expect(shell(unread(`verify ${run} ${flag}`)).stdout).toBe('1\n');
  });

  it('leaves the exit code of a sound run too', () => {
    expect(shell(unread('verify packed')).stdout).toBe('0\n');
  });
});

it('a log whose reader has gone ends nothing', () => {
  const { stdout } = shell(
    '$CLI pack --shards "$CORPUS" --tokenizer $MODEL --sequence-length 64 --out log --log json 2> >(true) > /dev/null; echo $?; $CLI verify log 2> >(true)',
  );
  expect(stdout).toMatch(/^3\nlog: sound/);
});

describe('standard output that cannot be written', () => {
  it
    .skipIf(!existsSync('/dev/full'))
    .each([['verify packed'], ['status packed'], ['diff packed packed'], ['--version']])(
    'fails %s, whose work is what it prints',
    (command) => {
      const { status, stderr } = shell(`$CLI ${command} > /dev/full`);
      expect(stderr).toMatch(/^tokensieve: standard output: .*ENOSPC/);
      expect(status).toBe(1);
    },
  );

  it('fails where half a report fits', () => {
    // A limit of the process on its files, of a kilobyte: the kernel takes what fits, and no more.
    const { status, stderr } = shell('ulimit -f 1; $CLI inspect packed --json > half.json');
    expect(stderr).toMatch(/^tokensieve: standard output: .*EFBIG/);
    expect(status).toBe(1);
  });

  it.skipIf(!existsSync('/dev/full'))('is nothing to a run, whose work is its files', () => {
    const { status } = shell(
      '$CLI pack --shards "$CORPUS" --tokenizer $MODEL --sequence-length 64 --out full --log json > /dev/full 2> /dev/full',
    );
    expect(status).toBe(3);
    expect(shell('$CLI verify full').status).toBe(0);
  });
});

it.skipIf(!existsSync('/proc/self/limits'))('few file handles are named before anything is begun', () => {
  const { status, stderr } = shell('ulimit -n 64; $CLI verify packed');
  expect(stderr).toMatch(
    /^tokensieve: this process may have 64 files open \(ulimit -n\), at least \d+ are needed/,
  );
  expect(status).toBe(2);
});

describe('a training run that cannot begin', () => {
  const train = (out: string) =>
    runCli([
      ...['train', '--config', join(folder, 'config.json'), '--tokenizer', inputs.reference, '--rows', '2'],
      ...['--data', packed, '--steps', '2', '--device', 'cpu', '--threads', '1', '--log', 'none'],
      ...['--out', out],
    ]);
  beforeAll(() =>
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...tinyLlama, vocab_size: 512 })),
  );

  it.each([
    [
      'metrics.jsonl is a folder',
      (out: string) => mkdirSync(join(out, 'metrics.jsonl'), { recursive: true }),
    ],
    [
      'tensorboard is a file',
      (out: string) => {
        mkdirSync(out);
        writeFileSync(join(out, 'tensorboard'), 'x');
      },
    ],
  ])('ends: %s', async (name, prepare) => {
    const out = join(folder, name.replaceAll(' ', '-'));
    prepare(out);
    const { code, stderr } = await train(out);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^tokensieve: .*(metrics\.jsonl|tensorboard): .*\n$/);
  });
});

describe('a second Ctrl-C', () => {
  const lines = (n: number) =>
    `${JSON.stringify({ text: 'the sum of two and three is five '.repeat(20) })}\n`.repeat(n);
  const score = (out: string): string[] => [
    ...['score', '--shards', join(folder, 'long.jsonl'), '--reference', inputs.reference],
    ...['--current', inputs.current, '--sequence-length', '128', '--out', join(folder, out)],
  ];
  beforeAll(() => writeFileSync(join(folder, 'long.jsonl'), lines(20_000)));

  it('ends as by the signal, and no runtime aborts', async () => {
    const child = spawn(process.execPath, [cliPath, ...score('twice'), '--log', 'json'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text;
      if (told.includes('"progress"') && !told.includes('stopping')) child.kill('SIGTERM');
      if (told.includes('stopping')) child.kill('SIGTERM');
    });
    const ended = await new Promise((resolve) =>
      child.on('close', (code, signal) => resolve({ code, signal })),
    );
    // Shells tell it as 130.
    expect(ended).toEqual({ code: null, signal: 'SIGINT' });
    expect(told).toMatch(/stopping; finished parts are kept, .* \(again to stop at once\)/);
    expect(told).not.toContain('terminate called');
  });

  const python = spawnSync('python3', ['-c', 'import pty']).status === 0;
  if (!python) console.warn('skipped: no python3 for a terminal (what a bar leaves of it is not tested)');
  it.skipIf(!python)('gives the terminal its cursor back', () => {
    const { stdout } = spawnSync(
      'python3',
      ['-c', IN_A_TERMINAL, process.execPath, cliPath, ...score('terminal')],
      {
        encoding: 'utf8',
      },
    );
    const { status, text } = JSON.parse(stdout) as { status: number; text: string };
    expect(status).toBe(-2);
    expect(text.lastIndexOf('\x1b[?25l')).toBeGreaterThan(0);
    expect(text.lastIndexOf('\x1b[?25h')).toBeGreaterThan(text.lastIndexOf('\x1b[?25l'));
    expect(text.lastIndexOf('\x1b[?7h')).toBeGreaterThan(text.lastIndexOf('\x1b[?7l'));
  });
});

/** Runs a command in a terminal of its own; Ctrl-C when the bar moves, and again when it says that it stops. */
const IN_A_TERMINAL = `
import json, os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
text, sent = b'', 0
while True:
    try: read = os.read(terminal, 65536)
    except OSError: break
    if not read: break
    text += read
    if (sent == 0 and b'tokens/s' in text) or (sent == 1 and b'stopping' in text):
        os.write(terminal, b'\\x03')
        sent += 1
_, status = os.waitpid(pid, 0)
print(json.dumps({'status': -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), 'text': text.decode(errors='replace')}))
`;
