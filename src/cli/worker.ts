import { resolve } from 'node:path';
import { pipelinePerformer } from '../queue/perform-pipeline.js';
import { queueError } from '../queue/queue-error.js';
import { runQueueWorker } from '../queue/worker.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { logOption } from './options.js';
import { type LogKind, openProgress } from './progress.js';
import { placeFrom, queueOptions } from './queue-options.js';

const number = (description: string, fallback: number) => ({
  type: 'number' as const,
  requiresArg: true,
  default: fallback,
  description,
  group: 'Worker:',
});

export const workerCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({
        ...queueOptions,
        parts: number('Parts in work at once, each with sessions of its own', 1),
        lease: number('Seconds without a sign of life after which others take a part over', 30),
        takeovers: number('Dead workers that a part may have had before it is given up', 10),
        grace: number('Seconds that a part may go on after a stop; then it is handed back', 20),
        'allow-methods': {
          type: 'string',
          array: true,
          requiresArg: true,
          description:
            'Folder from which code that queued pipelines name (methods, sections) may be run (repeatable; none)',
          group: 'Worker:',
        },
        'allow-engines': {
          type: 'string',
          array: true,
          requiresArg: true,
          description: 'Engine that queued pipelines may have started, by name (repeatable; none)',
          group: 'Worker:',
        },
        'until-empty': {
          type: 'boolean',
          default: false,
          description: 'End when nothing is left in the queue',
          group: 'Worker:',
        },
        ...logOption,
      })
      .example('$0 worker', 'Where TOKENSIEVE_REDIS_URL is set, and paths are those of enqueue'),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        const place = placeFrom(args);
        const progress = openProgress(args['log'] as LogKind);
        const parts = whole(args['parts'], 1, 256);
        try {
          await runQueueWorker({
            place,
            performer: pipelinePerformer(routedStorage(), progress.sink, parts, {
              folders: ((args['allow-methods'] as readonly string[] | undefined) ?? []).map((folder) =>
                resolve(folder),
              ),
              engines: (args['allow-engines'] as readonly string[] | undefined) ?? [],
            }),
            parts,
            lease: Math.max(1, Number(args['lease']) || 30),
            takeovers: whole(args['takeovers'], 0, 1_000_000),
            grace: Math.max(0, Number(args['grace']) || 0),
            untilEmpty: args['until-empty'] === true,
            sink: progress.sink,
            signal,
          });
          return EXIT.done;
        } catch (error) {
          throw error === signal.reason ? error : queueError(place, error);
        } finally {
          progress.stop();
        }
      },
      { first: 'the part in work is finished or handed back' },
    ),
};

const whole = (value: unknown, least: number, most: number): number =>
  Math.min(most, Math.max(least, Math.round(Number(value) || 0)));
