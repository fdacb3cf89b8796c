import { setTimeout as wait } from 'node:timers/promises';
import { pipelineStatus, type StageStatus, trainingStatus } from '../inspect/stage-status.js';
import { runStatus } from '../parts/run-status.js';
import { routedStorage } from '../storage/routed.js';
import type { Storage } from '../storage/storage.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { print } from './output.js';
import { jobFrom } from './pipeline-options.js';
import { runStatusText } from './views/run-status.js';
import { stageStatusText } from './views/stage-status.js';

export const statusCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe:
          'A pipeline file: every stage of it; or the output folder of run, score, pack, select or train',
      })
      .options({
        watch: { type: 'boolean', default: false, description: 'Again and again, until all is done' },
        every: {
          type: 'number',
          default: 5,
          requiresArg: true,
          description: 'Seconds between two looks, with --watch',
        },
        json: { type: 'boolean', default: false, description: 'Print everything as JSON' },
      })
      .example(
        '$0 status pipeline.yaml --watch',
        'Every stage, training too: done, speed, time left, last loss',
      )
      .example('$0 status runs/owm', 'Whoever works on it: one process, an array or a queue’s workers'),
  handler: (args) =>
    untilInterrupted(async () => {
      const storage = routedStorage();
      const look = lookAt(storage, String(args['run']), args);
      const every = Math.max(0.1, Number(args['every'])) * 1000;
      for (;;) {
        const { stages, text, isDone } = await look();
        // On a terminal each look takes the place of the one before.
        if (args['watch'] === true && process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J');
        await print(args['json'] === true ? JSON.stringify({ stages }, null, 2) : text);
        if (args['watch'] !== true || isDone) return EXIT.done;
        await wait(every);
      }
    }),
};

interface Look {
  readonly stages: readonly unknown[];
  readonly text: string;
  readonly isDone: boolean;
}

/** What is looked at: a pipeline by its file, training by its metrics, all else by its parts. */
function lookAt(
  storage: Storage,
  path: string,
  args: Readonly<Record<string, unknown>>,
): () => Promise<Look> {
  if (/\.(ya?ml|json)$/i.test(path)) {
    return async () => {
      const job = await jobFrom({ set: args['set'] }, path);
      return ofStages(await pipelineStatus(storage, job));
    };
  }
  return async () => {
    const { training, state } = await trainingStatus({}, path);
    if (training !== null) return ofStages([{ name: 'train', kind: 'train', state, out: path, training }]);
    const stages = await runStatus(storage, path);
    const isDone = stages.every(({ parts: { done, total } }) => total !== null && done >= total);
    return { stages, text: runStatusText(stages), isDone };
  };
}

const ofStages = (stages: readonly StageStatus[]): Look => ({
  stages,
  text: stageStatusText(stages),
  isDone: stages.every(({ state }) => state === 'done'),
});
