import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { type ExportReport, exportRun } from '../export/export-run.js';
import { FORMATS } from '../export/formats.js';
import { exportSchema, parseExport } from '../export/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { bytes, count, duration, percent } from './format.js';
import { logOption, replaceOption, yargsOptions } from './options.js';
import { say } from './output.js';
import { type LogKind, openProgress } from './progress.js';

const flags = flagsOf(exportSchema);

export const exportCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'Output folder of a run, or its weighted, scored or packed folder',
      })
      .options({ ...yargsOptions(flags, 'Export:'), ...replaceOption, ...logOption })
      .demandOption(['to', 'out'])
      .example(
        '$0 export runs/owm --to hf --out exports/owm',
        'A folder that load_dataset and load_from_disk read',
      )
      .epilogue(
        `Formats:\n${FORMATS.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join('\n')}`,
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const given = { run: String(args['run']), ...settingsFromFlags(flags, args) };
      const settings = parseExport(given, 'command line');
      const progress = openProgress(args['log'] as LogKind);
      try {
        const report = await exportRun(settings, {
          storage: routedStorage(),
          sink: progress.sink,
          signal,
          replace: args['replace'] === true,
        });
        progress.stop();
        say(exportText(report));
        return EXIT.done;
      } finally {
        progress.stop();
      }
    }),
};

/** The end of an export in a few lines. */
export function exportText(report: ExportReport): string {
  const { format, tokens, kept, rows, shards, resumed, folder } = report;
  const before = resumed > 0 ? `, ${resumed} done before` : '';
  return [
    `exported ${count(tokens)} ids in ${count(rows)} rows to ${format}: ${percent(kept / Math.max(tokens, 1))} of weight above 0, ${shards} shards${before}, ${bytes(report.bytes)} in ${duration(report.seconds)}`,
    `files: ${folder}`,
  ].join('\n');
}
