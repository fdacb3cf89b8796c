#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { auditCommand } from './audit.js';
import { diffCommand } from './diff.js';
import { doctorCommand } from './doctor.js';
import { enqueueCommand } from './enqueue.js';
import { evaluateCommand } from './evaluate.js';
import { EXIT, reportError } from './exit.js';
import { exportCommand } from './export.js';
import { importCommand } from './import.js';
import { inspectCommand } from './inspect.js';
import { loglikelihoodCommand } from './loglikelihood.js';
import { modelCommand } from './model.js';
import { packCommand } from './pack.js';
import { planCommand } from './plan.js';
import { queueCommand } from './queue.js';
import { runCommand } from './run.js';
import { scoreCommand } from './score.js';
import { selectCommand } from './select.js';
import { serveCommand } from './serve.js';
import { statusCommand } from './status.js';
import { trainCommand } from './train.js';
import { reportUsage } from './usage.js';
import { verifyCommand } from './verify.js';
import { workerCommand } from './worker.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

// A reader that goes away (`tokensieve inspect … | head`) is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.done);
});

await yargs(hideBin(process.argv))
  .scriptName('tokensieve')
  .usage(
    '$0 <command>\n\nScore every token of a corpus under a reference and a current model, and keep those worth training on.',
  )
  .command(runCommand)
  .command(planCommand)
  .command(statusCommand)
  .command(enqueueCommand)
  .command(workerCommand)
  .command(queueCommand)
  .command(scoreCommand)
  .command(packCommand)
  .command(importCommand)
  .command(selectCommand)
  .command(trainCommand)
  .command(evaluateCommand)
  .command(loglikelihoodCommand)
  .command(exportCommand)
  .command(auditCommand)
  .command(verifyCommand)
  .command(diffCommand)
  .command(inspectCommand)
  .command(modelCommand)
  .command(doctorCommand)
  .command(serveCommand)
  .completion('completion', 'Print a completion script for bash or zsh')
  .demandCommand(1, 'Name a command.')
  .strict()
  .recommendCommands()
  .version(version)
  .alias({ h: 'help', v: 'version' })
  .epilogue('Exit codes: 0 done, 1 failed, 2 usage, 3 done with quarantined input, 130 interrupted.')
  .wrap(Math.min(110, process.stdout.columns ?? 110))
  .fail((message, error) => {
    // yargs throws some usage errors (a flag without its value) and reports the others.
    const isUsage = !error || error.name === 'YError';
    process.exit(isUsage ? reportUsage(message || error.message) : reportError(error));
  })
  .parseAsync();
