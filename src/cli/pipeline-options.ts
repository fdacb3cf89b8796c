import type { Options } from 'yargs';
import { type Flag, flagsOf, settingsFromFlags } from '../config/flags.js';
import { mergeSettings, parseAssignment, readPipelineFile, type Settings } from '../config/load.js';
import { usageError } from '../errors.js';
import { type Pipeline, parsePipeline, pipelineSchema } from '../pipeline/settings.js';
import { isStaged, overrideStages, parseStages, type StagedPipeline } from '../pipeline/stages.js';
import { yargsOptions } from './options.js';

const flags = flagsOf(pipelineSchema);
const isSelection = (flag: Flag): boolean => flag.path[0] === 'select';

/** Flags of everything but selection, which has a command of its own. */
export const scoringFlags: readonly Flag[] = flags.filter((flag) => !isSelection(flag));

export const setOption: Record<string, Options> = {
  set: {
    type: 'string',
    array: true,
    requiresArg: true,
    description:
      'Override any setting: --set sequence.length=1024, with stages --set NAME.batch.steps=100 (repeatable)',
    group: 'Pipeline:',
  },
};

export const scoringOptions: Record<string, Options> = {
  ...yargsOptions(scoringFlags, 'Settings:'),
  ...setOption,
};

/**
 * The pipeline that a command line describes: the file if there is one, then flags, then `--set`, later over earlier.
 * @throws TokensieveError (usage) for unreadable files and bad settings
 */
export async function pipelineFrom(
  args: Readonly<Record<string, unknown>>,
  file?: string,
): Promise<Pipeline> {
  const base: Settings = file === undefined ? {} : await readPipelineFile(file);
  return parsePipeline(settingsFrom(scoringFlags, args, base), file ?? 'command line');
}

/** What a pipeline file asks for: a single run, or several stages. */
export type Job =
  | { readonly kind: 'run'; readonly pipeline: Pipeline }
  | { readonly kind: 'stages'; readonly staged: StagedPipeline };

/**
 * The pipeline of either form. In the form of stages `--set` goes by stage name, and the flags of a single run, which
 * could mean any stage, are refused.
 * @throws TokensieveError (usage) as `pipelineFrom`; `flags-of-a-run`, `no-stages`
 */
export async function jobFrom(args: Readonly<Record<string, unknown>>, file: string): Promise<Job> {
  const base = await readPipelineFile(file);
  if (!isStaged(base)) {
    const given = STAGE_FLAGS.find((name) => args[name] !== undefined);
    if (given !== undefined) {
      throw usageError('no-stages', `${file}: is a single run; --${given} is for pipelines with stages`);
    }
    return { kind: 'run', pipeline: parsePipeline(settingsFrom(scoringFlags, args, base), file) };
  }
  const flag = scoringFlags.find(({ name }) => args[name] !== undefined);
  if (flag !== undefined) {
    throw usageError(
      'flags-of-a-run',
      `${file}: --${flag.name} is for pipelines of a single run; this one has stages: use --set STAGE.${flag.path.join('.')}=…`,
    );
  }
  const assignments = ((args['set'] as readonly string[] | undefined) ?? []).map(parseAssignment);
  return { kind: 'stages', staged: parseStages(overrideStages(base, assignments), file) };
}

const STAGE_FLAGS = ['from', 'to', 'only'] as const;

export const stageOptions: Record<string, Options> = {
  from: {
    type: 'string',
    requiresArg: true,
    description: 'Of a pipeline with stages: this one and those after it',
    group: 'Pipeline:',
  },
  to: {
    type: 'string',
    requiresArg: true,
    description: 'Of a pipeline with stages: none after this one',
    group: 'Pipeline:',
  },
  only: {
    type: 'string',
    requiresArg: true,
    conflicts: ['from', 'to'],
    description: 'Of a pipeline with stages: this one alone',
    group: 'Pipeline:',
  },
};

/** Flags and `--set` laid over `base`. */
export function settingsFrom(
  known: readonly Flag[],
  args: Readonly<Record<string, unknown>>,
  base: Settings = {},
): Settings {
  const assignments = (args['set'] as readonly string[] | undefined) ?? [];
  return [settingsFromFlags(known, args), ...assignments.map(parseAssignment)].reduce(mergeSettings, base);
}
