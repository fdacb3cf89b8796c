import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { parseSettings } from '../config/parse-settings.js';
import { weightedFolder } from '../dataset/part-files.js';
import { METHODS } from '../select/methods.js';
import { type SelectReport, selectRun } from '../select/select-run.js';
import { selectionRun, selectionSettings } from '../select/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { count, duration, percent, significant } from './format.js';
import { logOption, replaceOption, yargsOptions } from './options.js';
import { say } from './output.js';
import { type LogKind, openProgress } from './progress.js';

const flags = flagsOf(selectionSettings);
const runFlags = flagsOf(selectionRun);

export const selectCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('run', { type: 'string', demandOption: true, describe: 'Output folder of a scoring run' })
      .options({
        ...yargsOptions(flags, 'Selection:'),
        out: {
          type: 'string',
          requiresArg: true,
          description: 'Folder for the weighted files',
          defaultDescription: 'RUN/weighted',
          group: 'Output:',
        },
        ...yargsOptions(runFlags, 'Run:'),
        ...replaceOption,
        ...logOption,
      })
      .example(
        '$0 select runs/one --method slm --keep 0.6',
        'Rho-1’s selection: the 60% of highest excess loss',
      )
      .epilogue(
        `Methods:\n${METHODS.map(({ name, summary }) => `  ${name.padEnd(24)} ${summary}`).join('\n')}`,
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const settings = parseSettings(selectionSettings, settingsFromFlags(flags, args), 'command line');
      const run = String(args['run']);
      const out = args['out'] === undefined ? weightedFolder(run) : String(args['out']);
      const progress = openProgress(args['log'] as LogKind);
      try {
        const report = await selectRun(run, out, settings, {
          storage: routedStorage(),
          sink: progress.sink,
          signal,
          replace: args['replace'] === true,
          ...parseSettings(selectionRun, settingsFromFlags(runFlags, args), 'command line'),
        });
        progress.stop();
        say(describeSelection(report));
        return EXIT.done;
      } finally {
        progress.stop();
      }
    }),
};

/** The end of a selection in a few lines. */
export function describeSelection(report: SelectReport): string {
  const { kept, eligible, conventions, statistics, parts, resumed, damaged } = report;
  const lines = [
    `kept ${count(kept)} of ${count(eligible)} eligible tokens (${percent(kept / Math.max(eligible, 1))}, weights sum to ${count(report.weightSum)}) by ${conventions.method}, scope ${conventions.scope}, in ${parts} parts, ${duration(report.seconds)}`,
  ];
  for (const range of statistics?.cutoffs ?? []) {
    if (range === null) continue;
    const { lowest, highest } = range;
    const at = lowest === highest ? significant(lowest) : `${significant(lowest)} to ${significant(highest)}`;
    lines.push(`lowest score kept: ${at} (${conventions.score})`);
  }
  if (resumed > 0) lines.push(`${resumed} of the parts were done before`);
  if (damaged > 0) lines.push(`${damaged} finished parts were damaged and made again`);
  lines.push(`weighted files: ${report.folder}`);
  return lines.join('\n');
}
