import { closeQueue, openQueue } from '../queue/open-queue.js';
import { queueStatus } from '../queue/queue-status.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { placeFrom, queueOptions } from './queue-options.js';
import { queueStatusText } from './views/queue-status.js';

export const queueCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('action', {
        choices: ['status', 'pause', 'resume'] as const,
        demandOption: true,
        describe: 'After pause no further part is begun; parts in work are finished',
      })
      .options({
        ...queueOptions,
        json: { type: 'boolean', default: false, description: 'Print everything as JSON' },
      })
      .example('$0 queue status', 'Runs, their parts, and the parts that failed'),
  handler: (args) =>
    untilInterrupted(async () => {
      const queue = await openQueue(placeFrom(args));
      try {
        if (args['action'] === 'pause') await queue.pause();
        if (args['action'] === 'resume') await queue.resume();
        const status = await queueStatus(queue);
        const text = args['json'] === true ? JSON.stringify(status, null, 2) : queueStatusText(status);
        process.stdout.write(`${text}\n`);
        return EXIT.done;
      } finally {
        await closeQueue(queue);
      }
    }),
};
