import { flagsOf, settingsFromFlags } from '../config/flags.js';
import type { Settings } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { usageError } from '../errors.js';
import { evaluate } from '../evaluate/evaluate.js';
import { writeEvaluation } from '../evaluate/evaluate-to.js';
import { type DumpReport, dumpPrompts } from '../evaluate/few-shot/dump-prompts.js';
import { FEW_SHOT_TASK_NAMES } from '../evaluate/few-shot/questions.js';
import { parseDump } from '../evaluate/few-shot/settings.js';
import { type EvaluationReport, hasQuarantined } from '../evaluate/report.js';
import { evaluateSettings } from '../evaluate/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { count } from './format.js';
import { logOption, yargsOptions } from './options.js';
import { print, say } from './output.js';
import { type LogKind, openProgress } from './progress.js';
import { evaluationText } from './views/evaluation.js';

const flags = flagsOf(evaluateSettings);

export const evaluateCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({
        ...yargsOptions(flags, 'Settings:'),
        shots: {
          type: 'string',
          requiresArg: true,
          description:
            'Worked examples before each question: the task file’s first N items, which are then not scored; paper: those of --prompts',
          group: 'Settings:',
          defaultDescription: '0',
        },
        prompts: {
          type: 'string',
          requiresArg: true,
          description: 'Folder of the paper’s worked examples, cot/gsm8k.md and others',
          group: 'Prompts:',
        },
        'dump-prompts': {
          type: 'string',
          requiresArg: true,
          description: `File for the prompts of every item, JSON lines; no model is read. Tasks: ${FEW_SHOT_TASK_NAMES.join(', ')}`,
          group: 'Prompts:',
        },
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
      .example(
        '$0 eval --tasks gsm8k,math --task-data eval --shots paper --prompts prompts --dump-prompts out.jsonl',
        'The paper’s few-shot prompts, for another engine to answer',
      )
      .epilogue(
        'Nothing is kept between runs: an evaluation that was stopped starts anew. Figures and prompts: docs/evaluation.md',
      ),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        if (args['dump-prompts'] !== undefined) return dump(args, signal);
        const storage = routedStorage();
        const settings = parseSettings(evaluateSettings, settingsOf(args), 'command line');
        const progress = openProgress(args['log'] as LogKind);
        try {
          const report = await evaluate(settings, { storage, sink: progress.sink, signal });
          progress.stop();
          if (args['out'] !== undefined) await writeEvaluation(storage, String(args['out']), report);
          const text =
            args['json'] === true ? JSON.stringify(report, null, 2) : screenOf(report, args['out']);
          // With a file for the report, what is on the screen is a copy of it.
          if (args['out'] === undefined || args['json'] === true) await print(text);
          else say(text);
          return hasQuarantined(report) ? EXIT.quarantined : EXIT.done;
        } finally {
          progress.stop();
        }
      },
      { first: 'nothing of this evaluation is kept' },
    ),
};

/** Flags as settings; of worked examples a number. @throws TokensieveError (usage) `bad-settings` */
function settingsOf(args: Readonly<Record<string, unknown>>): Settings {
  const { shots, prompts } = args;
  if (shots === 'paper' || prompts !== undefined)
    throw usageError(
      'bad-settings',
      'command line: --shots paper and --prompts make prompts for generation; name a file for them (--dump-prompts OUT.jsonl)',
    );
  return settingsFromFlags(flags, { ...args, ...(shots !== undefined && { shots: Number(shots) }) });
}

/** Writes prompts; what else an evaluation is set to has nothing to do with them. */
async function dump(args: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<number> {
  const given = {
    tasks: args['tasks'],
    task_data: args['task-data'],
    shots: args['shots'],
    prompts: args['prompts'],
    limit: args['limit'],
    dump_prompts: args['dump-prompts'],
  };
  const progress = openProgress(args['log'] as LogKind);
  try {
    const report = await dumpPrompts(parseDump(given, 'command line'), {
      storage: routedStorage(),
      sink: progress.sink,
      signal,
    });
    progress.stop();
    say(dumpText(report));
    return Object.keys(report.quarantined).length > 0 ? EXIT.quarantined : EXIT.done;
  } finally {
    progress.stop();
  }
}

function dumpText({ path, items, quarantined }: DumpReport): string {
  const reasons = Object.entries(quarantined).map(([reason, n]) => `${reason} ${count(n)}`);
  return [
    ...Object.entries(items).map(([task, n]) => `${task}: ${n} items`),
    ...(reasons.length === 0 ? [] : [`set aside: ${reasons.join(', ')}`]),
    `prompts: ${path}`,
  ].join('\n');
}

const screenOf = (report: EvaluationReport, out: unknown): string =>
  out === undefined ? evaluationText(report) : `${evaluationText(report)}\n\nreport: ${String(out)}`;
