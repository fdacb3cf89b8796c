import type { PartsReport } from '../pack/rows-job.js';
import { scoreCorpus } from '../score/score-run.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { bytes, count, duration, percent } from './format.js';
import { arrayOptions, logOption, replaceOption, shareFrom, shareText } from './options.js';
import { say } from './output.js';
import { pipelineFrom, scoringOptions } from './pipeline-options.js';
import { type LogKind, openProgress } from './progress.js';

export const scoreCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({ ...scoringOptions, ...replaceOption, ...arrayOptions, ...logOption })
      .example(
        "$0 score --shards 'shards/*.parquet' --reference models/ref --current models/base --out runs/one",
        'Score a folder of shards; the same command resumes',
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const pipeline = await pipelineFrom(args);
      const share = shareFrom(args);
      const progress = openProgress(args['log'] as LogKind, undefined, share);
      try {
        const report = await scoreCorpus(pipeline, {
          storage: routedStorage(),
          sink: progress.sink,
          signal,
          replace: args['replace'] === true,
          share,
        });
        progress.stop();
        say(`${shareText(share)}${describeParts(report, 'scored')}`);
        return partsExit(report);
      } finally {
        progress.stop();
      }
    }),
};

/** 3 when rows or shards were quarantined, so that a script can tell. */
export function partsExit(report: PartsReport): number {
  return report.quarantinedRows > 0 ||
    report.brokenShards.length > 0 ||
    Object.keys(report.quarantined).length > 0
    ? EXIT.quarantined
    : EXIT.done;
}

/** The end of a run in a few lines. */
export function describeParts(report: PartsReport, kind: 'scored' | 'packed'): string {
  const { documents, tokens, eligible, textBytes, seconds } = report;
  const lines = [
    `${kind} ${count(documents)} documents, ${bytes(textBytes)} of text, ${count(tokens)} tokens (${percent(eligible / Math.max(tokens, 1))} eligible) in ${report.parts} parts of ${report.shards} shards, ${duration(seconds)}`,
  ];
  if (report.resumed > 0) lines.push(`${report.resumed} of the parts were done before`);
  if (report.damaged > 0) lines.push(`${report.damaged} finished parts were damaged and made again`);
  const { 'lost-column': lost, ...setAside } = report.quarantined;
  const reasons = Object.entries(setAside).map(([reason, rows]) => `${reason} ${rows}`);
  if (reasons.length > 0) lines.push(`quarantined rows: ${reasons.join(', ')}; see *.quarantine.jsonl`);
  if (lost !== undefined)
    lines.push(
      `${kind} without a kept column that could not be read: ${lost} documents; see *.quarantine.jsonl`,
    );
  lines.push(...report.notes);
  for (const { shard, detail } of report.brokenShards) lines.push(`quarantined shard: ${shard}: ${detail}`);
  lines.push(`${kind} files: ${report.folder}`);
  return lines.join('\n');
}
