import { weightedFolder } from '../dataset/part-files.js';
import type { StageChoice } from '../pipeline/run-stages.js';
import { scoreCorpus } from '../score/score-run.js';
import { selectRun } from '../select/select-run.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { withInterrupt } from './exit.js';
import { arrayOptions, logOption, replaceOption, shareFrom, shareText } from './options.js';
import { say } from './output.js';
import { jobFrom, scoringOptions, stageOptions } from './pipeline-options.js';
import { LOG_EVERY, type LogKind, logEveryOption, openProgress } from './progress.js';
import { describeParts, partsExit } from './score.js';
import { describeSelection } from './select.js';
import { AFTERWARDS, runStaged } from './staged.js';

export const runCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('pipeline', { type: 'string', demandOption: true, describe: 'Pipeline file (YAML)' })
      .options({
        ...scoringOptions,
        ...stageOptions,
        ...replaceOption,
        ...arrayOptions,
        ...logOption,
        ...logEveryOption,
      })
      .example('$0 run pipelines/quickstart.yaml', 'Run it; the same command resumes')
      .example('$0 run pipelines/quickstart.yaml --from score', 'A pipeline with stages, from one of them on')
      .example('$0 run job.yaml --executor array', 'One share of the parts, in a Slurm or Kubernetes array')
      .example(
        '$0 run job.yaml --limit 100 --set select.keep=0.4',
        'A first look at 100 rows a shard, another ratio',
      ),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const job = await jobFrom(args, String(args['pipeline']));
      const log = args['log'] as LogKind;
      const logEvery = Math.max(0.1, Number(args['log-every']) || LOG_EVERY);
      const replace = args['replace'] === true;
      const share = shareFrom(args);
      if (job.kind === 'stages') {
        const { from, to, only } = args as StageChoice;
        return runStaged(job.staged, { from, to, only, log, logEvery, replace, signal, share });
      }
      const { pipeline } = job;
      const progress = openProgress(log, logEvery, share);
      const options = {
        storage: routedStorage(),
        sink: progress.sink,
        signal,
        replace,
      };
      try {
        progress.sink({ event: 'stage', name: 'score', kind: 'score' });
        const scored = await scoreCorpus(pipeline, { ...options, share });
        progress.stop();
        say(`${shareText(share)}${describeParts(scored, 'scored')}`);
        if (pipeline.select !== undefined && share !== undefined) say(AFTERWARDS);
        else if (pipeline.select !== undefined) {
          progress.sink({ event: 'stage', name: 'select', kind: 'select' });
          const weighted = await selectRun(
            pipeline.out,
            weightedFolder(pipeline.out),
            pipeline.select,
            options,
          );
          progress.stop();
          say(describeSelection(weighted));
        }
        return partsExit(scored);
      } finally {
        progress.stop();
      }
    }),
};
