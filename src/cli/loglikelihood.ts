import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { answerRequests, type LoglikelihoodReport } from '../evaluate/loglikelihood.js';
import { loglikelihoodSettings, parseLoglikelihood } from '../evaluate/loglikelihood-settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { count, duration } from './format.js';
import { logOption, yargsOptions } from './options.js';
import { say } from './output.js';
import { type LogKind, openProgress } from './progress.js';

const flags = flagsOf(loglikelihoodSettings);

export const loglikelihoodCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('requests', {
        type: 'string',
        demandOption: true,
        describe: 'JSON lines: {"context", "continuation"}, {"arguments"} or {"text"}; may be .gz or .zst',
      })
      .options({ ...yargsOptions(flags, 'Settings:'), ...logOption })
      .demandOption(['model', 'out'])
      .example(
        '$0 loglikelihood requests.jsonl --model models/base --out answers.jsonl',
        'For each line the sum, whether it is greedy, and ln p of every token',
      )
      .epilogue(
        'Nothing is kept between runs: what was stopped starts anew. Forms of lines: docs/imports.md',
      ),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        const given = { requests: String(args['requests']), ...settingsFromFlags(flags, args) };
        const settings = parseLoglikelihood(given, 'command line');
        const progress = openProgress(args['log'] as LogKind);
        try {
          const report = await answerRequests(settings, {
            storage: routedStorage(),
            sink: progress.sink,
            signal,
          });
          progress.stop();
          say(loglikelihoodText(report));
          return Object.keys(report.quarantined).length > 0 ? EXIT.quarantined : EXIT.done;
        } finally {
          progress.stop();
        }
      },
      { first: 'nothing of this is kept' },
    ),
};

/** The end of it in a few lines. */
function loglikelihoodText({
  answers,
  tokens,
  truncated,
  quarantined,
  length,
  path,
  seconds,
}: LoglikelihoodReport): string {
  const lines = [
    `answered ${count(answers)} requests, ${count(tokens)} tokens, in rows of at most ${length} ids, ${duration(seconds)}`,
  ];
  if (truncated > 0) lines.push(`${count(truncated)} contexts were cut at their start to fit a row`);
  const reasons = Object.entries(quarantined).map(([reason, n]) => `${reason} ${n}`);
  if (reasons.length > 0) lines.push(`set aside: ${reasons.join(', ')}; their lines have an "error"`);
  lines.push(`answers: ${path}`);
  return lines.join('\n');
}
