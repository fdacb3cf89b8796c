import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { parseSettings } from '../config/parse-settings.js';
import { evaluate } from '../evaluate/evaluate.js';
import { writeEvaluation } from '../evaluate/evaluate-to.js';
import { type EvaluationReport, hasQuarantined } from '../evaluate/report.js';
import { evaluateSettings } from '../evaluate/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { logOption, yargsOptions } from './options.js';
import { type LogKind, openProgress } from './progress.js';
import { evaluationText } from './views/evaluation.js';

const flags = flagsOf(evaluateSettings);

export const evaluateCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({
        ...yargsOptions(flags, 'Settings:'),
        out: {
          type: 'string',
          requiresArg: true,
          description: 'File for the report, JSON in the shape of lm-evaluation-harness',
          group: 'Output:',
        },
        json: {
          type: 'boolean',
          default: false,
          description: 'Print the report as JSON instead of tables',
          group: 'Output:',
        },
        ...logOption,
      })
      .example(
        "$0 eval --model models/base --held-out 'clean=held-out/clean/*.parquet' --held-out 'web=held-out/web/*.parquet' --out base.json",
        'Loss, perplexity and bits per byte of two sets, by host',
      )
      .example(
        '$0 eval --model models/base --tasks mathqa,gsm8k --task-data eval --shots 2 --limit 200',
        'Accuracy and answer loss on the first items of two tasks, after two worked examples',
      )
      .epilogue(
        'Nothing is kept between runs: an evaluation that was stopped starts anew. Figures and prompts: docs/evaluation.md',
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const settings = parseSettings(evaluateSettings, settingsFromFlags(flags, args), 'command line');
      const storage = routedStorage();
      const progress = openProgress(args['log'] as LogKind);
      try {
        const report = await evaluate(settings, { storage, sink: progress.sink, signal });
        progress.stop();
        const json = `${JSON.stringify(report, null, 2)}\n`;
        if (args['out'] !== undefined) await writeEvaluation(storage, String(args['out']), report);
        process.stdout.write(args['json'] === true ? json : `${screenOf(report, args['out'])}\n`);
        return hasQuarantined(report) ? EXIT.quarantined : EXIT.done;
      } finally {
        progress.stop();
      }
    }, 'stopping; nothing of this evaluation is kept'),
};

const screenOf = (report: EvaluationReport, out: unknown): string =>
  out === undefined ? evaluationText(report) : `${evaluationText(report)}\n\nreport: ${String(out)}`;
