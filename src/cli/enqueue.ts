import { chooseStages, type StageChoice } from '../pipeline/run-stages.js';
import type { Stage } from '../pipeline/stages.js';
import { enqueueRun, followRun } from '../queue/enqueue.js';
import type { QueueRules } from '../queue/jobs.js';
import { closeQueue, openQueue } from '../queue/open-queue.js';
import { stageSettings, stagesOfRun } from '../queue/pipeline-stages.js';
import { queueError } from '../queue/queue-error.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { logOption, replaceOption } from './options.js';
import { say } from './output.js';
import { type Job, jobFrom, scoringOptions, stageOptions } from './pipeline-options.js';
import { LOG_EVERY, type LogKind, logEveryOption, openProgress } from './progress.js';
import { placeFrom, queueOptions } from './queue-options.js';

export const enqueueCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('pipeline', { type: 'string', demandOption: true, describe: 'Pipeline file (YAML)' })
      .options({
        ...scoringOptions,
        ...stageOptions,
        ...replaceOption,
        ...logOption,
        ...logEveryOption,
        ...queueOptions,
      })
      .options({
        follow: {
          type: 'boolean',
          default: false,
          description: 'Wait until it is over, with progress; put it in again when the queue has lost it',
          group: 'Queue:',
        },
        attempts: {
          type: 'number',
          requiresArg: true,
          default: 3,
          description: 'Tries of a part before it is given up',
          group: 'Queue:',
        },
        backoff: {
          type: 'number',
          requiresArg: true,
          default: 5,
          description: 'Seconds before the second try; doubled with each',
          group: 'Queue:',
        },
        priority: {
          type: 'number',
          requiresArg: true,
          default: 1000,
          description: 'Runs with lower numbers go first',
          group: 'Queue:',
        },
      })
      .example(
        '$0 enqueue pipelines/openwebmath-1b.yaml --follow',
        'Workers on any machines do it; see the end',
      )
      .example('$0 enqueue job.yaml --priority 1', 'Before runs that are in the queue already'),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        const place = placeFrom(args);
        const stages = stageSettings(
          stagesOf(await jobFrom(args, String(args['pipeline'])), args as StageChoice),
        );
        const rules = rulesFrom(args);
        const queue = await openQueue(place);
        try {
          const { run, state } = await enqueueRun(queue, stages, rules, signal);
          const did = state === 'added' ? 'enqueued' : 'in the queue already';
          say(`run ${run}: ${did}: ${place.queue} at ${place.name}`);
          if (args['follow'] !== true) return EXIT.done;
          const progress = openProgress(
            args['log'] as LogKind,
            Math.max(0.1, Number(args['log-every']) || LOG_EVERY),
          );
          try {
            const { sink } = progress;
            const { quarantined } = await followRun({ place, queue, stages, rules, sink, signal });
            progress.stop();
            say(`run ${run}: done${quarantined ? ', with rows or shards set aside' : ''}`);
            return quarantined ? EXIT.quarantined : EXIT.done;
          } finally {
            progress.stop();
          }
        } catch (error) {
          throw error === signal.reason ? error : queueError(place, error);
        } finally {
          await closeQueue(queue);
        }
      },
      { first: 'no longer following; the run goes on in the queue' },
    ),
};

function rulesFrom(args: Readonly<Record<string, unknown>>): QueueRules {
  const number = (name: string, least: number, most: number): number =>
    Math.min(most, Math.max(least, Number(args[name]) || 0));
  return {
    attempts: Math.round(number('attempts', 1, 1000)),
    backoff: number('backoff', 0, 3600),
    priority: Math.round(number('priority', 1, 2_000_000)),
    replace: args['replace'] === true,
  };
}

const stagesOf = (job: Job, choice: StageChoice): readonly Stage[] =>
  job.kind === 'stages' ? chooseStages(job.staged.stages, choice) : stagesOfRun(job.pipeline);
