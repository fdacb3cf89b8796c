#!/usr/bin/env node
import '../no-telemetry.js';
import { readFileSync, realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { commands } from './commands.js';
import { endSoon, reportError } from './exit.js';
import { refuseFewFiles } from './limits.js';
import { checkPrinted, hearStreams } from './output.js';
import type { Misuse } from './usage.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

hearStreams();

// Unless it was imported: its process is then another's.
const isProgram = import.meta.url === pathToFileURL(realpathSync(process.argv[1] ?? '')).href;
// What nobody catches, such as memory that a library could not have, is told in a line like all else.
if (isProgram) process.on('uncaughtException', (error) => process.exit(reportError(error)));

const given = hideBin(process.argv);
const [asked, ...about] = given;

// `help score` is what people type who have not read that it is `score --help`.
const program = yargs(asked === 'help' ? [...about, '--help'] : given)
  .scriptName('tokensieve')
  .usage(
    '$0 <command>\n\nScore every token of a corpus under a reference and a current model, and keep those worth training on.',
  )
  .command([...commands])
  .completion('completion', 'Print a completion script for bash or zsh')
  .demandCommand(1, 'Name a command.')
  .strict()
  .recommendCommands()
  .version(version)
  .alias({ h: 'help', v: 'version' })
  .epilogue('Exit codes: 0 done, 1 failed, 2 usage, 3 done with quarantined input, 130 interrupted.')
  .wrap(Math.min(110, process.stdout.columns ?? 110))
  // Help and versions are printed by yargs, which would leave before it is known whether they could be.
  .exitProcess(false)
  .middleware((args) => {
    if (args['quiet'] === true) args['log'] = 'none';
  }, true)
  .fail((message, error) => {
    // yargs throws some usage errors (a flag without its value) and reports the others.
    const thrown = error ?? Object.assign(new Error(message), { name: 'YError' });
    throw thrown.name === 'YError' ? Object.assign(thrown, contextOf()) : thrown;
  });

/** What yargs knows of the command that it refuses; its types do not tell of it. */
function contextOf(): Pick<Misuse, 'flags' | 'usage'> {
  const inside = program as {
    getOptions?: () => { readonly key?: Readonly<Record<string, unknown>> };
    getInternalMethods?: () => { getContext(): { readonly fullCommands?: readonly string[] } };
  };
  return {
    flags: Object.keys(inside.getOptions?.().key ?? {}),
    usage: inside.getInternalMethods?.().getContext().fullCommands?.at(-1) ?? '',
  };
}

try {
  refuseFewFiles();
  await program.parseAsync();
  // A command has set its code; without one, yargs has printed something.
  if (process.exitCode === undefined) await checkPrinted();
} catch (error) {
  if (given.length === 0) process.stderr.write(`${await program.getHelp()}\n\n`);
  const isUsage = error instanceof Error && error.name === 'YError';
  process.exitCode = isUsage
    ? (await import('./usage.js')).reportUsage(error as Error & Misuse)
    : reportError(error);
}
if (isProgram) endSoon();
