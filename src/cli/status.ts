import { runStatus } from '../parts/run-status.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { print } from './output.js';
import { runStatusText } from './views/run-status.js';

export const statusCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'Output folder of run, score or pack',
      })
      .options({ json: { type: 'boolean', default: false, description: 'Print everything as JSON' } })
      .example('$0 status runs/owm', 'Whoever works on it: one process, an array or a queue’s workers'),
  handler: (args) =>
    untilInterrupted(async () => {
      const stages = await runStatus(routedStorage(), String(args['run']));
      const text = args['json'] === true ? JSON.stringify({ stages }, null, 2) : runStatusText(stages);
      await print(text);
      return EXIT.done;
    }),
};
