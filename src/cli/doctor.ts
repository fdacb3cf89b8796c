import type { CommandModule } from 'yargs';
import { diagnose } from '../inspect/doctor.js';
import { defaultCacheFolder } from '../run/open-inputs.js';
import { EXIT, untilInterrupted } from './exit.js';
import { diagnosisText } from './views/diagnosis.js';

export const doctorCommand: CommandModule = {
  command: 'doctor',
  describe: 'What works on this machine, what is missing, and how to get it',
  builder: (yargs) =>
    yargs
      .option('json', { type: 'boolean', default: false, description: 'Print the diagnosis as JSON' })
      .example('$0 doctor', 'Providers that really load, threads, memory, codecs, disk'),
  handler: (args) =>
    untilInterrupted(async () => {
      const diagnosis = await diagnose(defaultCacheFolder(), process.cwd());
      process.stdout.write(
        `${args['json'] === true ? JSON.stringify(diagnosis, null, 2) : diagnosisText(diagnosis)}\n`,
      );
      return diagnosis.cpuWorks ? EXIT.done : EXIT.failed;
    }),
};
