import { describe, expect, it } from 'vitest';
import { flagsOf } from '#tokensieve/config/flags.js';
import { evaluateSettings } from '#tokensieve/evaluate/settings.js';
import { packSchema } from '#tokensieve/pack/settings.js';
import { pipelineSchema } from '#tokensieve/pipeline/settings.js';
import { METHODS } from '#tokensieve/select/methods.js';
import { selectionSettings } from '#tokensieve/select/settings.js';
import { cliHere } from '../support/cli-here.js';
import { tokensieve } from './cli.js';

const scoring = flagsOf(pipelineSchema)
  .filter(({ path }) => path[0] !== 'select')
  .map(({ name }) => name);
const selection = flagsOf(selectionSettings).map(({ name }) => name);

const array = ['executor', 'array-index', 'array-count'];

/** Each command with flags that its help must name. */
const commands: readonly (readonly [readonly string[], readonly string[]])[] = [
  [['run'], [...scoring, ...array, 'set', 'from', 'to', 'only', 'replace', 'log']],
  [['plan'], [...scoring, 'set', 'tflops', 'json', 'tokens', 'mfu', 'price', 'cores']],
  [['score'], [...scoring, ...array, 'set', 'replace', 'log']],
  [['pack'], [...flagsOf(packSchema).map(({ name }) => name), ...array, 'set', 'replace', 'log']],
  [['status'], ['json']],
  [
    ['enqueue'],
    [...scoring, 'from', 'to', 'only', 'follow', 'attempts', 'backoff', 'priority', 'redis', 'queue'],
  ],
  [['worker'], ['parts', 'lease', 'takeovers', 'grace', 'until-empty', 'redis', 'queue', 'log']],
  [['queue'], ['json', 'redis', 'queue']],
  [['select'], [...selection, 'out', 'replace', 'log']],
  [['eval'], [...flagsOf(evaluateSettings).map(({ name }) => name), 'out', 'json', 'log']],
  [['verify'], ['json', 'repair']],
  [['diff'], ['json']],
  [['inspect'], ['json']],
  [['model'], ['help']],
  [['model', 'info'], ['json']],
  [['doctor'], ['json']],
];

describe('--help', () => {
  it.each(commands)('of %s shows its flags and an example', async (command, flags) => {
    const { code, stdout: out, stderr: err } = await cliHere([...command, '--help']);
    expect(err).toBe('');
    expect(code).toBe(0);
    for (const flag of flags) expect(out, flag).toMatch(new RegExp(`--${flag}\\b`));
    expect(out).toMatch(new RegExp(`Examples:\\s+tokensieve ${command.join(' ')}`));
  });

  it('lists every command and the exit codes', () => {
    const { code, out } = tokensieve(['--help']);
    expect(code).toBe(0);
    for (const [[command]] of commands) expect(out).toContain(`tokensieve ${command}`);
    expect(out).toContain(
      'Exit codes: 0 done, 1 failed, 2 usage, 3 done with quarantined input, 130 interrupted.',
    );
  });

  it('of select names every method', async () => {
    const { stdout: out } = await cliHere(['select', '--help']);
    for (const { name } of METHODS) expect(out).toMatch(new RegExp(`^  ${name}\\s`, 'm'));
  });

  it('has a completion script for bash that calls the command', () => {
    const { code, out } = tokensieve(['completion'], { SHELL: '/bin/bash' });
    expect(code).toBe(0);
    expect(out).toContain('complete -o bashdefault -o default -F _tokensieve_yargs_completions tokensieve');
    expect(tokensieve(['--get-yargs-completions', 'tokensieve', 'ver']).out.split('\n')).toContain('verify');
  });
});
