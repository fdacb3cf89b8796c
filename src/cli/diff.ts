import { diffRuns, formatDiff } from '../dataset/diff.js';
import { rulesOfFolder, rulesWarning } from '../rules/run-rules.js';
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
        describe: 'A folder of scored or weighted parts',
      })
      .positional('b', { type: 'string', demandOption: true, describe: 'Another, over the same corpus' })
      .option('json', { type: 'boolean', default: false, description: 'Print the whole report as JSON' })
      .example('$0 diff runs/fp32/weighted runs/bf16/weighted', 'The flip rate between two precisions'),
  handler: (args) =>
    untilInterrupted(async () => {
      const storage = routedStorage();
      const report = await diffRuns(
        { storage, folder: String(args['a']) },
        { storage, folder: String(args['b']) },
      );
      const rules = {
        a: await rulesOfFolder(storage, String(args['a'])),
        b: await rulesOfFolder(storage, String(args['b'])),
      };
      const told = [rulesWarning(String(args['a']), rules.a), rulesWarning(String(args['b']), rules.b)];
      const text =
        args['json'] === true
          ? JSON.stringify({ ...report, rules }, null, 2)
          : [...told.filter((line) => line !== null), ...formatDiff(report)].join('\n');
      await print(text);
      return EXIT.done;
    }),
};
