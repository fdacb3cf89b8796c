import type { Options } from 'yargs';
import { type Flag, flagsOf, settingsFromFlags } from '../config/flags.js';
import {
  mergeSettings,
  parseAssignment,
  parsePipeline,
  readPipelineFile,
  type Settings,
} from '../config/load.js';
import { type Pipeline, pipelineSchema } from '../config/pipeline.js';
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
    description: 'Override any setting of the pipeline: --set sequence.length=1024 (repeatable)',
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

/** Flags and `--set` laid over `base`. */
export function settingsFrom(
  known: readonly Flag[],
  args: Readonly<Record<string, unknown>>,
  base: Settings = {},
): Settings {
  const assignments = (args['set'] as readonly string[] | undefined) ?? [];
  return [settingsFromFlags(known, args), ...assignments.map(parseAssignment)].reduce(mergeSettings, base);
}
