import { isOfRun } from '../dataset/data-set.js';
import { diffRuns, formatDiff, openAlike } from '../dataset/diff.js';
import { rulesOfParts, rulesWarning } from '../rules/run-rules.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { print } from './output.js';

export const diffCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('a', {
        type: 'string',
        demandOption: true,
        describe: 'A run, or a folder of scored or weighted parts',
      })
      .positional('b', { type: 'string', demandOption: true, describe: 'Another, over the same corpus' })
      .option('json', { type: 'boolean', default: false, description: 'Print the whole report as JSON' })
      .example('$0 diff runs/fp32 runs/bf16', 'The flip rate between two precisions'),
  handler: (args) =>
    untilInterrupted(async () => {
      const storage = routedStorage();
      const [a, b] = await openAlike(storage, String(args['a']), String(args['b']));
      const report = await diffRuns({ storage, folder: a.folder }, { storage, folder: b.folder });
      const rules = {
        a: await rulesOfParts(storage, a.parts),
        b: await rulesOfParts(storage, b.parts),
      };
      const told = [
        ...[a, b].filter(isOfRun).map(({ name, kind }) => `${name}: its ${kind} parts are compared`),
        rulesWarning(a.name, rules.a),
        rulesWarning(b.name, rules.b),
      ];
      const text =
        args['json'] === true
          ? JSON.stringify({ ...report, rules }, null, 2)
          : [...told.filter((line) => line !== null), ...formatDiff(report)].join('\n');
      await print(text);
      return EXIT.done;
    }),
};
