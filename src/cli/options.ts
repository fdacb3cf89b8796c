import type { Options } from 'yargs';
import type { Flag } from '../config/flags.js';
import { usageError } from '../errors.js';
import { arrayShare } from '../parts/array-share.js';
import type { Share } from '../parts/share.js';

/**
 * Flags as yargs options. Defaults are shown in the help but never set by yargs: a flag that was not given must
 * not override the pipeline file.
 */
export function yargsOptions(flags: readonly Flag[], group: string): Record<string, Options> {
  return Object.fromEntries(
    flags.map((flag): [string, Options] => [
      flag.name,
      {
        type: flag.type,
        description: flag.description,
        group,
        requiresArg: flag.type !== 'boolean',
        ...(flag.choices && { choices: flag.choices }),
        ...(flag.default !== undefined && { defaultDescription: JSON.stringify(flag.default) }),
      },
    ]),
  );
}

export const logOption = {
  log: {
    choices: ['auto', 'bar', 'json', 'none'] as const,
    default: 'auto' as const,
    description: 'Progress on stderr: a bar on a terminal, JSON lines otherwise',
    group: 'Output:',
  },
  quiet: {
    type: 'boolean' as const,
    default: false,
    description: 'No progress, as --log none',
    group: 'Output:',
  },
};

export const replaceOption = {
  replace: {
    type: 'boolean' as const,
    default: false,
    description: 'Redo finished parts that were made with other settings or inputs',
    group: 'Output:',
  },
};

export const arrayOptions: Record<string, Options> = {
  executor: {
    choices: ['local', 'array'] as const,
    description: 'Who makes the parts: this process all of them, or the processes of an array a share each',
    defaultDescription: '"local"',
    group: 'Executor:',
  },
  'array-index': {
    type: 'number',
    requiresArg: true,
    description: 'This process of an array, from 0 (Slurm and Kubernetes tell it)',
    group: 'Executor:',
  },
  'array-count': {
    type: 'number',
    requiresArg: true,
    description: 'Processes of the array (Slurm tells it; Kubernetes: set JOB_COMPLETIONS)',
    group: 'Executor:',
  },
};

/**
 * The share of parts that the flags ask for; undefined for all of them. The environment is read only where an array is
 * asked for: an array job may well run pipelines that have nothing to do with each other.
 * @throws TokensieveError (usage) `no-array`, `bad-array`
 */
export function shareFrom(args: Readonly<Record<string, unknown>>): Share | undefined {
  const { executor } = args;
  const flags = args as { readonly 'array-index'?: number; readonly 'array-count'?: number };
  const [index, count] = [flags['array-index'], flags['array-count']];
  const given = index !== undefined || count !== undefined;
  if (executor === 'local' && given) {
    throw usageError('bad-array', '--array-index and --array-count are for --executor array');
  }
  if (executor !== 'array' && !given) return undefined;
  return arrayShare({ index, count }, process.env);
}

/** Which share a report is of, to go before it. */
export const shareText = (share: Share | undefined): string =>
  share === undefined ? '' : `index ${share.index} of ${share.count}: `;
