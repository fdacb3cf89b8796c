import { PROVIDER_VARIABLE } from '../inspect/cuda.js';
import { diagnose } from '../inspect/doctor.js';
import { fixCuda } from '../inspect/fix-cuda.js';
import { trimForeignBinaries } from '../inspect/foreign-binaries.js';
import { findCuda } from '../inspect/providers.js';
import { defaultCacheFolder } from '../score/open-inputs.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { bytes } from './format.js';
import { print, tell } from './output.js';
import { diagnosisText } from './views/diagnosis.js';

export const doctorCommand: Command = {
  builder: (yargs) =>
    yargs
      .option('fix', {
        type: 'boolean',
        default: false,
        description: 'Fetch the CUDA provider where it is missing, then look again',
      })
      .option('provider', {
        type: 'string',
        description: `With --fix: take the CUDA provider from this folder or library (or set ${PROVIDER_VARIABLE})`,
      })
      .option('trim', {
        type: 'boolean',
        default: false,
        description: 'Remove the libraries of other systems that installed packages hold, then look',
      })
      .option('json', { type: 'boolean', default: false, description: 'Print the diagnosis as JSON' })
      .example('$0 doctor --fix --provider /opt/onnxruntime/lib', 'CUDA by libraries that are there already')
      .example('$0 doctor', 'Providers that really load, threads, memory, codecs, disk'),
  handler: (args) =>
    untilInterrupted(async () => {
      if (args['fix'] === true) await fix(args['provider'] as string | undefined);
      if (args['trim'] === true) {
        const trimmed = await trimForeignBinaries();
        tell(`removed ${trimmed.files} libraries of other systems, ${bytes(trimmed.bytes)}`);
      }
      const diagnosis = await diagnose(defaultCacheFolder(), process.cwd());
      await print(args['json'] === true ? JSON.stringify(diagnosis, null, 2) : diagnosisText(diagnosis));
      return diagnosis.cpuWorks ? EXIT.done : EXIT.failed;
    }),
};

/** Says what it did on standard error: the diagnosis that follows may be JSON. */
async function fix(provider: string | undefined): Promise<void> {
  const facts = await findCuda();
  const lines =
    facts === null
      ? ['CUDA runs on Linux x64 with onnxruntime-node installed; there is nothing to fix here']
      : await fixCuda(facts, provider ?? (process.env[PROVIDER_VARIABLE] || null));
  for (const line of lines) tell(line);
}
