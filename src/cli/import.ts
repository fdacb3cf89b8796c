import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { type ImportReport, importScores } from '../import/import-run.js';
import { importSchema, parseImport } from '../import/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { count, duration, percent } from './format.js';
import { logOption, replaceOption, yargsOptions } from './options.js';
import { say } from './output.js';
import { type LogKind, openProgress } from './progress.js';

const flags = flagsOf(importSchema);

export const importCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'Output folder of tokensieve pack or score, or its packed or scored folder',
      })
      .options({ ...yargsOptions(flags, 'Import:'), ...replaceOption, ...logOption })
      .demandOption(['losses', 'out', 'model-name'])
      .example(
        "$0 import runs/packed --losses 'scores/*.parquet' --model-name math-7b --out runs/scored",
        'Reference losses of a packed run, from columns input_ids and losses',
      )
      .example(
        '$0 import runs/packed --losses responses.jsonl --model-name math-7b --out runs/scored',
        "The same from vLLM's prompt_logprobs",
      )
      .epilogue('What each source must hold, and how it is aligned: docs/imports.md'),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const given = { run: String(args['run']), ...settingsFromFlags(flags, args) };
      const settings = parseImport(given, 'command line');
      const progress = openProgress(args['log'] as LogKind);
      try {
        const report = await importScores(settings, {
          storage: routedStorage(),
          sink: progress.sink,
          signal,
          replace: args['replace'] === true,
        });
        progress.stop();
        say(importText(report));
        return importExit(report);
      } finally {
        progress.stop();
      }
    }),
};

/** 3 when targets were excluded or records left over, so that a script can tell. */
export const importExit = ({ incomplete, leftOver }: ImportReport): number =>
  incomplete > 0 || leftOver > 0 ? EXIT.quarantined : EXIT.done;

/** The end of an import in a few lines. */
export function importText(report: ImportReport): string {
  const { column, eligible, tokens, parts, resumed, damaged, excluded, negative, leftOver } = report;
  const lines = [
    `imported ${column} of ${count(eligible)} targets (${percent(eligible / Math.max(tokens, 1))} of ${count(tokens)} tokens) in ${parts} parts, ${duration(report.seconds)}`,
  ];
  if (resumed > 0) lines.push(`${resumed} of the parts were done before`);
  if (damaged > 0) lines.push(`${damaged} finished parts were damaged and made again`);
  if (report.incomplete > 0) {
    const here = excluded > 0 ? ` (${count(excluded)} of the parts made now)` : '';
    lines.push(
      `targets without a loss were excluded in ${report.incomplete} parts${here}: see *.quarantine.jsonl`,
    );
  }
  if (negative > 0)
    lines.push(`${count(negative)} losses are a little below 0, as rounding leaves them, and were kept`);
  if (leftOver > 0) {
    lines.push(`${count(leftOver)} records of the sources lie beyond the run's last and were not taken`);
  }
  lines.push(`scored files: ${report.folder}`);
  return lines.join('\n');
}
