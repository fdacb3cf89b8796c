import { openQuickstart } from '../quickstart/open-quickstart.js';
import type { Command } from './command.js';
import { withInterrupt } from './exit.js';
import { logOption, replaceOption } from './options.js';
import { say } from './output.js';
import { jobFrom, stageOptions } from './pipeline-options.js';
import { LOG_EVERY, type LogKind } from './progress.js';
import { runStaged } from './staged.js';

export const quickstartCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({
        out: {
          type: 'string',
          requiresArg: true,
          default: 'runs/quickstart',
          description: 'Folder for the corpus, the models and what comes of them',
          group: 'Output:',
        },
        ...stageOptions,
        ...replaceOption,
        ...logOption,
      })
      .example('$0 quickstart', 'The whole method in some minutes on two cores; the same command resumes')
      .example('$0 status runs/quickstart/quickstart.yaml', 'How far it is'),
  handler: (args) =>
    withInterrupt(async (signal) => {
      const out = String(args['out']);
      const replace = args['replace'] === true;
      const { pipeline, made } = await openQuickstart(out, replace);
      if (made) say(`made a mini-web of mathematics and a tokenizer: ${out}`);
      say(`running ${pipeline}`);
      const job = await jobFrom({}, pipeline);
      if (job.kind !== 'stages') throw new Error(`${pipeline} has no stages`);
      const { from, to, only } = args as { from?: string; to?: string; only?: string };
      return runStaged(job.staged, {
        from,
        to,
        only,
        log: args['log'] as LogKind,
        logEvery: LOG_EVERY,
        replace,
        signal,
        share: undefined,
      });
    }),
};
