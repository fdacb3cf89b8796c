import type { CommandModule } from 'yargs';
import { inspectModel } from '../inspect/model-folder.js';
import { defaultCacheFolder } from '../score/open-inputs.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { print } from './output.js';
import { inspectionText } from './views/inspection.js';

const infoCommand: CommandModule = {
  command: 'info <folder>',
  describe: 'Architecture, size, cost a token and hash of a model folder',
  builder: (yargs) =>
    yargs
      .positional('folder', {
        type: 'string',
        demandOption: true,
        describe: 'Hugging Face checkpoint (config.json, safetensors) or ONNX export',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        description: 'Print everything that was found as JSON',
      })
      .example('$0 model info models/ref', 'Parameters, FLOPs a token, memory on the CPU'),
  handler: (args) =>
    untilInterrupted(async () => {
      const model = await inspectModel(String(args['folder']), defaultCacheFolder());
      await print(args['json'] === true ? JSON.stringify(model, null, 2) : inspectionText(model));
      return EXIT.done;
    }),
};

export const modelCommand: Command = {
  builder: (yargs) =>
    yargs
      .command(infoCommand)
      .demandCommand(1, 'Name a command of model: info.')
      .example('$0 model info models/ref', 'Parameters, FLOPs a token, memory on the CPU'),
  handler: () => undefined,
};
