import { resolve } from 'node:path';
import { type CheckReport, checkEngine } from '../engine/check.js';
import { engineCommand, isEngineName } from '../engine/command.js';
import { usageError } from '../errors.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { print } from './output.js';

const text = (description: string, more: object = {}) => ({
  type: 'string' as const,
  requiresArg: true,
  description,
  ...more,
});

export const engineCommandLine: Command = {
  builder: (yargs) =>
    yargs
      .positional('action', {
        choices: ['check'] as const,
        demandOption: true,
        describe: 'check: try what it promises',
      })
      .positional('engine', {
        type: 'string',
        demandOption: true,
        describe: 'torch, or the command line of an engine of your own',
      })
      .options({
        model: text('Folder of a model that it loads', { demandOption: true }),
        device: text('Device, by the engine’s own name', { default: 'auto' }),
        precision: text('What the model computes in', {
          default: 'auto',
          choices: ['auto', 'fp32', 'fp16', 'bf16'],
        }),
        python: text('Python of the engine torch (default: TOKENSIEVE_PYTHON, else python3)'),
        json: { type: 'boolean', default: false, description: 'The results as JSON' },
      })
      .example(
        '$0 engine check torch --model models/tiny',
        'Whether PyTorch loads here, and keeps the contract',
      )
      .example("$0 engine check './mine --fast' --model models/tiny", 'An engine of your own')
      .epilogue('The protocol, to the letter: docs/engines.md'),
  handler: (args) =>
    withInterrupt(
      async () => {
        const named = String(args['engine']).trim();
        if (named === 'onnxruntime') {
          throw usageError(
            'no-such-engine',
            'onnxruntime: runs within this program and has no pipe to be checked over',
          );
        }
        const report = await checkEngine({
          command: engineCommand(
            isEngineName(named) ? named : `exec:${named}`,
            args['python'] as string | undefined,
          ),
          model: resolve(String(args['model'])),
          device: String(args['device']),
          precision: args['precision'] as 'auto',
        });
        await print(args['json'] === true ? JSON.stringify(report, null, 2) : checkText(report));
        return report.results.some(({ verdict }) => verdict === 'failed') ? EXIT.failed : EXIT.done;
      },
      { first: 'nothing of this is kept' },
    ),
};

function checkText({ answer, results }: CheckReport): string {
  const lines = results.map(({ name, verdict, detail }) => {
    const mark = { ok: 'ok', failed: 'FAILED', 'not offered': '–' }[verdict];
    return `${mark.padEnd(7)} ${name}${detail === '' ? '' : `: ${detail}`}`;
  });
  if (answer !== null) lines.push(`numeric profile: ${JSON.stringify(answer.profile)}`);
  return lines.join('\n');
}
