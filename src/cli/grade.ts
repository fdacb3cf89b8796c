import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { grade } from '../evaluate/grading/grade.js';
import type { GradeReport } from '../evaluate/grading/report.js';
import { gradeSettings, parseGrade } from '../evaluate/grading/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { logOption, yargsOptions } from './options.js';
import { print, say } from './output.js';
import { type LogKind, openProgress } from './progress.js';
import { gradesText } from './views/grades.js';

const flags = flagsOf(gradeSettings);

export const gradeCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('outputs', {
        type: 'string',
        demandOption: true,
        describe: 'JSON lines of outputs with their right answers; may be .gz or .zst',
      })
      .options({ ...yargsOptions(flags, 'Settings:'), ...logOption })
      .demandOption(['task'])
      .example(
        '$0 grade outputs.jsonl --task math --out graded.jsonl',
        'The share of right answers, and a verdict for every item',
      )
      .example(
        '$0 grade slm.jsonl --against clm.jsonl --task gsm8k --page grades.html',
        'Two models on the same items: a page of who solved what',
      )
      .epilogue(
        'Only what the model wrote and the right answer are read, never a verdict that a file holds. Forms of lines and rules: docs/evaluation.md',
      ),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        const given = { outputs: String(args['outputs']), ...settingsFromFlags(flags, args) };
        const settings = parseGrade(given, 'command line');
        const progress = openProgress(args['log'] as LogKind);
        try {
          const report = await grade(settings, { storage: routedStorage(), sink: progress.sink, signal });
          progress.stop();
          const text = gradesText(report, settings);
          // Without files the figures on the screen are all that there is.
          if (settings.out === undefined && settings.page === undefined) await print(text);
          else say(text);
          return hasQuarantined(report) ? EXIT.quarantined : EXIT.done;
        } finally {
          progress.stop();
        }
      },
      { first: 'nothing of this is kept' },
    ),
};

const hasQuarantined = ({ grades, against }: GradeReport): boolean =>
  [grades, against?.grades].some((one) => Object.keys(one?.quarantined ?? {}).length > 0);
