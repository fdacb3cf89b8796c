import type { Options } from 'yargs';
import type { Flag } from '../config/flags.js';

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
};
