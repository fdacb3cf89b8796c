import { auditTo } from '../audit/audit-to.js';
import { auditSettings } from '../audit/settings.js';
import { flagsOf, settingsFromFlags } from '../config/flags.js';
import { parseSettings } from '../config/parse-settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, withInterrupt } from './exit.js';
import { logOption, yargsOptions } from './options.js';
import { print, say } from './output.js';
import { type LogKind, openProgress } from './progress.js';
import { auditText } from './views/audit.js';

const flags = flagsOf(auditSettings);

export const auditCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'Output folder of a scoring run, or its scored or weighted folder',
      })
      .options({
        ...yargsOptions(flags, 'Audit:'),
        json: { type: 'boolean', default: false, description: 'Print the numbers as JSON', group: 'Output:' },
        ...logOption,
      })
      .example('$0 audit runs/owm', 'What select kept, in runs/owm/audit/report.html')
      .example(
        '$0 audit runs/owm --compare runs/owm-other --by topic',
        'The same, by topic, and against another run',
      ),
  handler: (args) =>
    withInterrupt(
      async (signal) => {
        const given = { run: String(args['run']), ...settingsFromFlags(flags, args) };
        const settings = parseSettings(auditSettings, given, 'command line');
        const progress = openProgress(args['log'] as LogKind);
        try {
          const written = await auditTo(settings, {
            storage: routedStorage(),
            sink: progress.sink,
            signal,
          });
          progress.stop();
          if (args['json'] === true) await print(JSON.stringify(written.audit, null, 2));
          else say(auditText(written));
          return EXIT.done;
        } finally {
          progress.stop();
        }
      },
      { first: 'nothing was written' },
    ),
};
