import { inspect } from '../inspect/inspect.js';
import { defaultCacheFolder } from '../score/open-inputs.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { print } from './output.js';
import { inspectionText } from './views/inspection.js';

export const inspectCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('path', {
        type: 'string',
        demandOption: true,
        describe:
          'Shard, Arrow file, manifest, safetensors, ONNX, tokenizer.json, pipeline, or a folder: run, export, model, shards',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        description: 'Print everything that was found as JSON',
      })
      .example('$0 inspect shards/0000.parquet', 'Columns, row groups, and the parts that a run would cut')
      .example('$0 inspect runs/one', 'Parts, tokens and losses of a run'),
  handler: (args) =>
    untilInterrupted(async () => {
      const found = await inspect(String(args['path']), {
        storage: routedStorage(),
        cacheFolder: defaultCacheFolder(),
      });
      const text = args['json'] === true ? JSON.stringify(found, null, 2) : inspectionText(found);
      await print(text);
      return EXIT.done;
    }),
};
