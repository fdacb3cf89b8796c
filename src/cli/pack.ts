import { flagsOf } from '../config/flags.js';
import { packCorpus } from '../pack/pack-run.js';
import { packSchema, parsePack } from '../pack/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { withInterrupt } from './exit.js';
import { arrayOptions, logOption, replaceOption, shareFrom, shareText, yargsOptions } from './options.js';
import { say } from './output.js';
import { setOption, settingsFrom } from './pipeline-options.js';
import { type LogKind, openProgress } from './progress.js';
import { describeParts, partsExit } from './score.js';

const flags = flagsOf(packSchema);

export const packCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({
        ...yargsOptions(flags, 'Settings:'),
        ...setOption,
        ...replaceOption,
        ...arrayOptions,
        ...logOption,
      })
      .example(
        "$0 pack --shards 'shards/*.parquet' --tokenizer models/base --out runs/clm",
        'Token files for causal language modelling; the same command resumes',
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const settings = parsePack(settingsFrom(flags, args), 'command line');
      const share = shareFrom(args);
      const progress = openProgress(args['log'] as LogKind, undefined, share);
      try {
        const report = await packCorpus(settings, {
          storage: routedStorage(),
          sink: progress.sink,
          signal,
          replace: args['replace'] === true,
          share,
        });
        progress.stop();
        say(`${shareText(share)}${describeParts(report, 'packed')}`);
        return partsExit(report);
      } finally {
        progress.stop();
      }
    }),
};
