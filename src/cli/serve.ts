import { readFileSync } from 'node:fs';
import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { mergeSettings, readPipelineFile } from '../config/load.js';
import { parseSettings } from '../config/parse-settings.js';
import { serveSettings } from '../service/settings.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { yargsOptions } from './options.js';
import { say } from './output.js';

const flags = flagsOf(serveSettings);

export const serveCommand: Command = {
  builder: (yargs) =>
    yargs
      .options({
        config: {
          type: 'string',
          requiresArg: true,
          description: 'Settings in a file (YAML); flags go over it',
        },
        ...yargsOptions(flags, 'Service:'),
      })
      .example('$0 serve --root data', 'For this machine alone, on port 8787')
      .example(
        '$0 serve --host 0.0.0.0 --token-file token.txt --root data',
        'For others too, who must send the token',
      ),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        const file = args['config'] === undefined ? undefined : String(args['config']);
        const base = file === undefined ? {} : await readPipelineFile(file);
        const given = mergeSettings(base, settingsFromFlags(flags, args));
        const settings = parseSettings(serveSettings, given, file ?? 'command line');
        // Here, so that other commands do not pay for loading a server.
        const { openService } = await import('../service/open-service.js');
        const service = await openService(settings, versionOf());
        say(`tokensieve serves on ${service.url}`);
        await new Promise<void>((resolve) => {
          if (signal.aborted) resolve();
          signal.addEventListener('abort', () => resolve());
        });
        await service.close();
        return EXIT.done;
      },
      { first: 'jobs at work go back into the queue' },
    ),
};

function versionOf(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
