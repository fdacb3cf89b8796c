import { readPipelineFile } from '../config/load.js';
import { usageError } from '../errors.js';
import { closeQueue, openQueue } from '../queue/open-queue.js';
import { runOfSettings } from '../queue/pipeline-stages.js';
import { queueError } from '../queue/queue-error.js';
import { queueStatus } from '../queue/queue-status.js';
import { type RemovedRun, removeRun } from '../queue/remove-run.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { print } from './output.js';
import { placeFrom, queueOptions } from './queue-options.js';
import { queueStatusText } from './views/queue-status.js';

export const queueCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('action', {
        choices: ['status', 'pause', 'resume', 'remove'] as const,
        demandOption: true,
        describe: 'After pause no further part is begun; parts in work are finished',
      })
      .positional('run', {
        type: 'string',
        describe: 'For remove: the run, as status names it, or its pipeline file; what it has made stays',
      })
      .options({
        ...queueOptions,
        wait: {
          type: 'number',
          requiresArg: true,
          default: 0,
          description: 'For remove: seconds to wait for the parts in work, which end by themselves',
          group: 'Queue:',
        },
        json: { type: 'boolean', default: false, description: 'Print everything as JSON' },
      })
      .example('$0 queue status', 'Runs, their parts, and the parts that failed')
      .example('$0 queue remove job.yaml', 'Nothing more is made of it'),
  handler: (args) =>
    untilInterrupted(async () => {
      const place = placeFrom(args);
      const run = await runFrom(args);
      const queue = await openQueue(place);
      try {
        if (run !== null) {
          const patience = Math.max(0, Number(args['wait']) || 0) * 1000;
          const removed = await removeRun(queue, run, patience);
          await print(args['json'] === true ? JSON.stringify(removed, null, 2) : removedText(removed));
          return EXIT.done;
        }
        if (args['action'] === 'pause') await queue.pause();
        if (args['action'] === 'resume') await queue.resume();
        const status = await queueStatus(queue);
        const text = args['json'] === true ? JSON.stringify(status, null, 2) : queueStatusText(status);
        await print(text);
        return EXIT.done;
      } catch (error) {
        throw queueError(place, error);
      } finally {
        await closeQueue(queue);
      }
    }),
};

/** The run to remove; null for the other actions. @throws TokensieveError (usage) `no-run`, and as `readPipelineFile` */
async function runFrom(args: Readonly<Record<string, unknown>>): Promise<string | null> {
  const { action, run } = args;
  if (action !== 'remove') {
    if (run === undefined) return null;
    throw usageError('no-run', `queue ${String(action)}: takes no run; leave ${String(run)} out`);
  }
  if (run === undefined) {
    throw usageError('no-run', 'queue remove: name the run, as queue status does, or its pipeline file');
  }
  const name = String(run);
  return /^[0-9a-f]{16}$/.test(name) ? name : runOfSettings(await readPipelineFile(name), name);
}

function removedText({ run, jobs, at_work }: RemovedRun): string {
  if (jobs === 0 && at_work === 0) return `run ${run}: nothing of it is in the queue`;
  const left = at_work === 0 ? '' : `; ${at_work} still in work, which add nothing`;
  return `run ${run}: removed, ${jobs} job(s)${left}`;
}
