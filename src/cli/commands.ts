/** Every command by name. What a command needs is loaded when it is called: its flags for its help, its rooms with them. */
import type { Argv, CommandModule } from 'yargs';
import type { Command } from './command.js';

/** A command that is loaded when it is asked for. */
function lazy(command: string, describe: string, load: () => Promise<Command>): CommandModule {
  let parser: Argv | undefined;
  return {
    command,
    describe,
    builder: async (yargs) => {
      parser = (await load()).builder(yargs);
      return parser;
    },
    handler: async (args) => {
      if (parser !== undefined) withoutHelp(parser);
      await (await load()).handler(args);
    },
  };
}

/**
 * yargs lays out the help of every command that it runs, for messages that this program does not print: a fifth of what a
 * command takes to start. Its own way in, so that without it nothing is lost but time.
 */
function withoutHelp(parser: Argv): void {
  const { getInternalMethods } = parser as Internals;
  const usage = getInternalMethods?.call(parser).getUsageInstance?.();
  if (usage !== undefined) usage.cacheHelpMessage = () => undefined;
}

interface Internals {
  getInternalMethods?(): { getUsageInstance?(): { cacheHelpMessage?: () => void } };
}

/** In the order of the help. */
export const commands: readonly CommandModule[] = [
  lazy(
    'quickstart',
    'The whole method on a small corpus that it makes, to see what comes of it',
    async () => (await import('./quickstart.js')).quickstartCommand,
  ),
  lazy(
    'init [file]',
    'Write a first pipeline file: asks for shards and models, and looks at them',
    async () => (await import('./init.js')).initCommand,
  ),
  lazy(
    'run <pipeline>',
    'Run every stage of a pipeline file',
    async () => (await import('./run.js')).runCommand,
  ),
  lazy(
    'plan [pipeline]',
    'What a run would do and cost; scores nothing',
    async () => (await import('./plan.js')).planCommand,
  ),
  lazy(
    'status <run>',
    'How far a pipeline or a run is: stages, parts, speed, time left',
    async () => (await import('./status.js')).statusCommand,
  ),
  lazy(
    'enqueue <pipeline>',
    'Put a pipeline into a queue that workers share',
    async () => (await import('./enqueue.js')).enqueueCommand,
  ),
  lazy(
    'worker',
    'Make the parts of queued pipelines, on any number of machines',
    async () => (await import('./worker.js')).workerCommand,
  ),
  lazy(
    'queue <action> [run]',
    'Look at a queue, pause it, resume it, take a run out',
    async () => (await import('./queue.js')).queueCommand,
  ),
  lazy(
    'score',
    'Score shards under one or two models into Arrow files',
    async () => (await import('./score.js')).scoreCommand,
  ),
  lazy(
    'pack',
    'Tokenize and pack shards for training on every token; no model is read',
    async () => (await import('./pack.js')).packCommand,
  ),
  lazy(
    'import <run>',
    'Scored files from losses that were computed elsewhere, aligned by token ids',
    async () => (await import('./import.js')).importCommand,
  ),
  lazy(
    'select <run>',
    'Turn a run’s scored files into weighted files',
    async () => (await import('./select.js')).selectCommand,
  ),
  lazy(
    'train [settings]',
    'Train a model on all tokens (clm) or on selected ones (slm)',
    async () => (await import('./train.js')).trainCommand,
  ),
  lazy(
    'eval',
    'Held-out loss of a model by domain, and its accuracy on tasks by likelihood',
    async () => (await import('./evaluate.js')).evaluateCommand,
  ),
  lazy(
    'grade <outputs>',
    'Grade answers that a model wrote: answer out of the output, right or wrong, a page of both',
    async () => (await import('./grade.js')).gradeCommand,
  ),
  lazy(
    'loglikelihood <requests>',
    'Log-likelihoods of requests as lm-evaluation-harness makes them, JSON lines in and out',
    async () => (await import('./loglikelihood.js')).loglikelihoodCommand,
  ),
  lazy(
    'export <run>',
    'Write tokens and weights in the format of another trainer',
    async () => (await import('./export.js')).exportCommand,
  ),
  lazy(
    'audit <run>',
    'Show what a run kept and dropped: a page and the same numbers as JSON',
    async () => (await import('./audit.js')).auditCommand,
  ),
  lazy(
    'verify <folder>',
    'Check every file of a run or an export against its manifest',
    async () => (await import('./verify.js')).verifyCommand,
  ),
  lazy(
    'diff <a> <b>',
    'Compare two runs token by token: flipped selections, loss differences',
    async () => (await import('./diff.js')).diffCommand,
  ),
  lazy(
    'inspect <path>',
    'What a file or folder is, in one screen',
    async () => (await import('./inspect.js')).inspectCommand,
  ),
  lazy(
    'engine <action> <engine>',
    'Try an engine: a program that computes losses beside this one',
    async () => (await import('./engine.js')).engineCommandLine,
  ),
  lazy('model', 'Look at models', async () => (await import('./model.js')).modelCommand),
  lazy(
    'doctor',
    'What works on this machine, what is missing, and how to get it',
    async () => (await import('./doctor.js')).doctorCommand,
  ),
  lazy(
    'serve',
    'Run pipelines and score texts over HTTP',
    async () => (await import('./serve.js')).serveCommand,
  ),
];
