import { verifyFolder } from '../dataset/verify.js';
import { withdrawParts } from '../dataset/withdraw.js';
import { isExport, verifyExport } from '../export/verify.js';
import { unfinishedBelow } from '../parts/unfinished.js';
import { rulesOfFolder, rulesText } from '../rules/run-rules.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { bytes, count } from './format.js';
import { print, tell } from './output.js';

export const verifyCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('folder', {
        type: 'string',
        demandOption: true,
        describe: 'Output folder of a run, or an export',
      })
      .option('json', { type: 'boolean', default: false, description: 'Print the whole report as JSON' })
      .option('repair', {
        type: 'boolean',
        default: false,
        description:
          'Withdraw damaged parts: their manifests are removed, and the command that wrote them makes them again',
      })
      .example('$0 verify runs/one', 'Hashes, schemas, rows, tokens, values: all read again'),
  handler: (args) =>
    untilInterrupted(async () => {
      const folder = String(args['folder']);
      const storage = routedStorage();
      const verify = isExport(folder, await storage.list(folder)) ? verifyExport : verifyFolder;
      const checked = await verify(storage, folder, {
        onProgress: ({ done, of }) => {
          if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${of} parts`);
        },
      });
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      const rules = await rulesOfFolder(storage, folder);
      const unfinished = await unfinishedBelow(storage, folder);
      const report = {
        ...checked,
        ...(rules !== null && { rules }),
        ...(unfinished.length > 0 && { unfinished }),
      };
      const { manifests, files, sequences, tokens, findings, damaged } = report;
      const sound = manifests === 0 ? 'nothing was checked' : 'sound';
      const verdict = findings.length === 0 ? sound : `${findings.length} finding(s)`;
      const text =
        args['json'] === true
          ? JSON.stringify(report, null, 2)
          : [
              ...findings.map(({ file, reason }) => `${file}: ${reason}`),
              ...(rules === null ? [] : rulesText(rules)).map((line) => `${folder}: ${line}`),
              ...unfinished,
              `${folder}: ${verdict}: ${manifests} parts, ${files} files (${bytes(report.bytes)}), ${count(sequences)} sequences, ${count(tokens)} tokens`,
            ].join('\n');
      if (args['repair'] === true && damaged.length > 0) {
        await withdrawParts(storage, folder, damaged);
        tell(
          `tokensieve: ${folder}: withdrew ${damaged.length} damaged part(s); run the command that wrote them again`,
        );
      }
      if (manifests === 0)
        tell(
          `tokensieve: ${folder}: no such folder, or none that a run or an export wrote: no manifests found`,
        );
      await print(text);
      return findings.length > 0 || manifests === 0 ? EXIT.failed : EXIT.done;
    }),
};
