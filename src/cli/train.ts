import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { mergeSettings, parseAssignment, readPipelineFile, type Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { routedStorage } from '../storage/routed.js';
import { trainSchema } from '../train/settings.js';
import { type TrainReport, trainRun } from '../train/train-run.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { count, duration } from './format.js';
import { logOption, replaceOption, yargsOptions } from './options.js';
import { say } from './output.js';
import type { LogKind } from './progress.js';
import { openTrainProgress } from './train-progress.js';

const flags = flagsOf(trainSchema);

export const trainCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('settings', { type: 'string', describe: 'Settings file (YAML); flags override it' })
      .options({
        ...yargsOptions(flags, 'Settings:'),
        set: {
          type: 'string',
          array: true,
          requiresArg: true,
          description: 'Override any setting: --set optimizer.clip=0.5 (repeatable)',
          group: 'Settings:',
        },
        replace: {
          ...replaceOption.replace,
          description: 'Remove a run of other settings or data from the same folder, and begin',
        },
        ...logOption,
      })
      .example(
        '$0 train --start models/base --data runs/owm --loss slm --keep 0.6 --tokens 1e9 --out runs/slm',
        'Rho-1’s selective training; the same command resumes',
      )
      .example(
        '$0 train --config config.json --data runs/packed --steps 2000 --out runs/base',
        'A base model from scratch, on files of `tokensieve pack`',
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const settings = await settingsOf(args);
      const progress = openTrainProgress(args['log'] as LogKind);
      try {
        const report = await trainRun(parseSettings(trainSchema, settings, 'train'), {
          storage: routedStorage(),
          sink: progress.sink,
          signal,
          replace: args['replace'] === true,
        });
        progress.stop();
        say(describeTraining(report));
        return EXIT.done;
      } finally {
        progress.stop();
      }
    }, STOPPING),
};

const STOPPING = {
  first: 'a checkpoint of this step is kept; the same command goes on from it',
  again: ', which loses the steps since the checkpoint before',
};

async function settingsOf(args: Readonly<Record<string, unknown>>): Promise<Settings> {
  const file = args['settings'];
  // Empty sections, so that what is missing is named by its field.
  const empty: Settings = { model: {}, data: {} };
  const base = typeof file === 'string' ? mergeSettings(empty, await readPipelineFile(file)) : empty;
  const assignments = (args['set'] as readonly string[] | undefined) ?? [];
  return [settingsFromFlags(flags, args), ...assignments.map(parseAssignment)].reduce(mergeSettings, base);
}

/** The end of a training run in a few lines. */
export function describeTraining({ model, parameters, steps, resumed, last, seconds }: TrainReport): string {
  const lines = [`${count(steps)} steps of ${count(parameters)} parameters, ${duration(seconds)}`];
  if (resumed > 0) lines.push(`${count(resumed)} of the steps were taken before`);
  if (last !== null) {
    const heldOut = Object.entries(last.held_out ?? {}).map(([name, loss]) => `${name} ${loss.toFixed(4)}`);
    lines.push(
      `${count(last.tokens)} tokens; last step: ${
        last.loss_selected === null
          ? `nothing kept of ${count(last.eligible)} tokens, no loss`
          : `loss ${last.loss_selected.toFixed(4)} nats on ${count(last.kept)} of ${count(last.eligible)} tokens`
      }`,
    );
    if (last.empty_steps !== undefined)
      lines.push(`${count(last.empty_steps)} of the steps kept no token: they moved nothing`);
    if (heldOut.length > 0) lines.push(`held-out loss, nats: ${heldOut.join(', ')}`);
  }
  lines.push(`model: ${model}`);
  return lines.join('\n');
}
