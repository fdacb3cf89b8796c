import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { closest } from '#tokensieve/config/closest.js';
import { cliHere } from '../support/cli-here.js';
import { tokensieve } from './cli.js';

const folder = mkdtempSync(join(tmpdir(), 'tokensieve-usage-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** The command must end with exit 2 and one line that matches, before it touches anything. */
async function refused(args: readonly string[], line: RegExp): Promise<void> {
  const { code, stdout: out, stderr: err } = await cliHere(args);
  expect(err.split('\n')[0]).toMatch(line);
  const rest = err
    .split('\n')
    .slice(1)
    .filter((text) => text !== '');
  // The hint, and the line of a file with what is meant marked below it.
  expect(rest.filter((text) => !/^ {2}(\(tokensieve .* --help|\d+ \| | +\^+$)/.test(text))).toEqual([]);
  expect(out).toBe('');
  expect(code).toBe(2);
}

const job = ['--shards', 'none.parquet', '--reference', 'none', '--out', join(folder, 'out')];

describe('a wrong command line', () => {
  it.each<[string, string[], RegExp]>([
    ['an unknown command', ['scor'], /Did you mean score\?$/],
    ['an unknown subcommand', ['model', 'inf'], /Did you mean info\?$/],
    ['a group without its command', ['model'], /Name a command of model: info/],
    ['an unknown flag', ['score', '--shrads', 'x'], /Unknown argument: shrads\. Did you mean --shards\?$/],
    ['a flag like no other', ['score', '--qqqqqqqq'], /Unknown argument: qqqqqqqq$/],
    ['a flag of another command', ['verify', 'x', '--shards', 'y'], /Unknown argument: shards$/],
    ['a word too many', ['doctor', 'extra'], /Unknown argument: extra$/],
    ['a missing word', ['inspect'], /a value is missing: tokensieve inspect <path>$/],
    ['letters that changed places', ['serve', '--prot', '1'], /Did you mean --port\?$/],
    [
      'a flag near one of another command alone',
      ['verify', 'x', '--shrads', 'y'],
      /Unknown argument: shrads$/,
    ],
    ['a flag without its value', ['score', '--shards'], /Not enough arguments following: shards$/],
    ['a choice that is none', ['score', ...job, '--device', 'gpu'], /Given: "gpu", Choices: "auto", "cpu"/],
  ])('%s', (_, args, line) => refused(args, line));

  it('without a command lists them, and says so on its last line', async () => {
    const { code, stdout, stderr } = await cliHere([]);
    for (const name of ['score', 'select', 'train', 'serve']) expect(stderr).toContain(`tokensieve ${name} `);
    expect(stderr).toMatch(/\ntokensieve: Name a command\.\n/);
    expect([code, stdout]).toEqual([2, '']);
  });

  it('that begins with help is the help of what follows', async () => {
    const { code, stdout } = await cliHere(['help', 'select']);
    expect(stdout).toBe((await cliHere(['select', '--help'])).stdout);
    expect(stdout).toMatch(/^tokensieve select <run>\n/);
    expect(code).toBe(0);
  });

  it('shows no control characters of its own input', async () => {
    const { stderr: err } = await cliHere(['score', '--\u001b[31mred']);
    expect(err).toContain('\\u{1b}[31mred');
    expect(err).not.toContain('\u001b');
  });
});

describe('wrong settings name the field', () => {
  it.each<[string, string[], RegExp]>([
    ['not a number', ['--sequence-length', 'long'], /command line: sequence\.length: .*expected number/],
    ['too small', ['--sequence-length', '1'], /sequence\.length: .*>=2/],
    ['a fraction', ['--batch-tokens', '10.5'], /score\.batch_tokens: .*int/],
    ['by --set', ['--set', 'run.workers=0'], /run\.workers: .*>=1/],
    [
      'an unknown one by --set',
      ['--set', 'sequence.lenght=512'],
      /command line: sequence: Unrecognized key: "lenght", did you mean length\?$/,
    ],
    ['a section that is a number', ['--set', 'corpus=3'], /corpus: .*expected object/],
  ])('%s', (_, args, line) => refused(['score', ...job, ...args], line));

  it('a model is missing', () =>
    refused(
      ['score', '--shards', 'x.parquet', '--out', 'o'],
      /reference: name a reference model, a current model, or both/,
    ));
  it('select has settings of its own', () => refused(['select', folder, '--keep', '2'], /keep: .*<=1/));
});

describe('--set', () => {
  it.each([
    '__proto__.x=1',
    'constructor.prototype.x=1',
    'sequence.__proto__.length=7',
    'sequence.constructor.length=7',
    '=1',
    'nonsense',
    'a..b=1',
  ])('refuses %s', (assignment) =>
    refused(['score', ...job, '--set', assignment], /expected name\.of\.setting=value/),
  );

  it.each(['sequence={__proto__: {length: 7}}', 'corpus={"constructor": {"prototype": {"x": 1}}}'])(
    'refuses the keys inside %s',
    (assignment) =>
      refused(['score', ...job, '--set', assignment], /Unrecognized key: "(__proto__|constructor)"/),
  );

  it('refuses a value that is no YAML', () =>
    refused(['score', ...job, '--set', 'sequence.length=[1'], /the value is not YAML/));

  it('takes numbers, lists and the last of two', async () => {
    // Good settings get as far as the shard that is not there.
    await refused(
      [
        'score',
        ...job,
        '--set',
        'sequence.length=16',
        '--set',
        'corpus.keep=[url, date]',
        '--set',
        'sequence.length=32',
      ],
      /none\.parquet: no such file or folder/,
    );
    await refused(
      ['score', ...job, '--set', 'sequence.length=16', '--set', 'sequence.length=1'],
      /sequence\.length/,
    );
  });
});

describe('a wrong pipeline file', () => {
  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x, x]',
    ...'bcdefgh'.split('').map((name, i) => {
      const below = `*${String.fromCharCode(97 + i)}`;
      return `${name}: &${name} [${Array(9).fill(below).join(', ')}]`;
    }),
  ].join('\n');

  it.each<[string, string, RegExp]>([
    ['an alias bomb', bomb, /not YAML: Excessive alias count/],
    ['a list', '- a\n- b\n', /holds a list, expected a mapping of settings/],
    ['a string', 'hello\n', /holds a string, expected a mapping/],
    ['nothing', '', /holds nothing, expected a mapping/],
    ['no YAML', 'shards: [x\n', /no-YAML\.yaml:2:1: not YAML: Flow sequence/],
    [
      'an unknown key',
      'shards: [x.parquet]\nreference: r\nout: o\nbogus: 1\n',
      /an-unknown-key\.yaml:4:1: Unrecognized key: "bogus"$/,
    ],
    ['another version', 'version: 2\nshards: [x.parquet]\nreference: r\nout: o\n', /version: .*expected 1/],
    [
      'a prototype',
      'shards: [x.parquet]\nreference: r\nout: o\n__proto__: {x: 1}\n',
      /Unrecognized key: "__proto__"/,
    ],
    [
      'a tag that would make code',
      'shards: !!js/function "x"\nreference: r\nout: o\n',
      /a-tag-that-would-make-code\.yaml:1:\d+: !!js\/function is no kind of setting/,
    ],
    ['a file beyond 1 MiB', `# ${'x'.repeat(1 << 20)}\n`, /longer than 1 MiB/],
  ])('%s', (name, text, line) => {
    const path = file(`${name.replaceAll(' ', '-')}.yaml`, text);
    return refused(['run', path], line);
  });

  it('is shown where it is wrong, with the stage and the key that was meant', async () => {
    const path = file(
      'stages.yaml',
      [
        'stages:',
        '  - name: first',
        '    score:',
        '      shards: [x.parquet]',
        '      refrence: r',
        '      out: o',
        '  - train:',
        '      out: t',
        '      loss: { knid: slm }',
      ].join('\n'),
    );
    const { stderr } = await cliHere(['run', path]);
    expect(stderr).toMatch(
      /stages\.yaml:5:7: stages\.0\.score \(first\): Unrecognized key: "refrence", did you mean reference\?/,
    );
    expect(stderr).toContain('\n  5 |       refrence: r\n            ^^^^^^^^\n');
    expect(stderr).toContain('; line 7: stages.1.train.data: is missing, expected a mapping');
    expect(stderr).toContain('; line 9: stages.1.train.loss: Unrecognized key: "knid", did you mean kind?');
    // A flag is not in the file, whatever the file says in its place.
    const set = await cliHere([
      'run',
      file('set.yaml', 'shards: [x]\nreference: r\nout: o\nsequence: { length: 8 }\n'),
      '--sequence-length',
      '1',
    ]);
    expect(set.stderr).toMatch(/set\.yaml: sequence\.length: /);
  });

  it('that is not there', () =>
    refused(['run', join(folder, 'absent.yaml')], /absent\.yaml: cannot read .*ENOENT/));
  it.skipIf(process.platform === 'win32')('that has no end', () =>
    refused(['run', '/dev/zero'], /longer than 1 MiB/),
  );
});

describe('missing files', () => {
  it('shards', () => refused(['plan', ...job], /none\.parquet: no such file or folder/));
  it('runs', () => refused(['select', join(folder, 'absent')], /no finished parts/));

  it.each([['inspect'], ['model', 'info']])('%s ends with exit 1 and one line', async (...command) => {
    const path = join(folder, 'absent');
    const { code, stderr: err } = await cliHere([...command, path]);
    expect(err).toMatch(/^tokensieve: .*absent: .*check the path\n$/);
    expect(code).toBe(1);
  });
});

// All of the above in this process: each kind of refusal once more in a process of its own.
describe('a process', () => {
  it.each<[string[]]>([
    [[]],
    [['score', '--shrads', 'x']],
    [['score', ...job, '--sequence-length', 'long']],
    [['run', '/dev/null']],
    [['plan', ...job]],
    [['inspect', join(folder, 'absent')]],
  ])('ends as the command does here: %j', async (args) => {
    const { code, stdout, stderr } = await cliHere(args);
    expect(code).not.toBe(0);
    expect(tokensieve(args)).toEqual({ code, out: stdout, err: stderr });
  });
});

describe('closest', () => {
  it('counts edits, and has no advice for what is far off or exact', () => {
    expect(closest('shrads', ['shards', 'threads'])).toBe('shards');
    expect(closest('kee', ['keep', 'seed'])).toBe('keep');
    expect(closest('keep', ['keep', 'keeps'])).toBeNull();
    expect(closest('zzzzzz', ['keep', 'seed'])).toBeNull();
    // Two letters of three are another word.
    expect(closest('foo', ['bos', 'eos'])).toBeNull();
    expect(closest('otu', ['out'])).toBe('out');
    expect(closest('x'.repeat(100), ['x'.repeat(99)])).toBeNull();
  });
});
