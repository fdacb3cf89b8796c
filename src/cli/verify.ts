import { verifyFolder } from '../dataset/verify.js';
import { withdrawParts } from '../dataset/withdraw.js';
import { isExport, verifyExport } from '../export/verify.js';
import { unfinishedBelow } from '../parts/unfinished.js';
import { rulesOfFolder, rulesText } from '../rules/run-rules.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { bytes, count } from './format.js';

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
      if (args['json'] === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
      else {
        for (const { file, reason } of findings) process.stdout.write(`${file}: ${reason}\n`);
        for (const line of rules === null ? [] : rulesText(rules))
          process.stdout.write(`${folder}: ${line}\n`);
        for (const line of unfinished) process.stdout.write(`${line}\n`);
        const verdict = findings.length === 0 ? 'sound' : `${findings.length} finding(s)`;
        process.stdout.write(
          `${folder}: ${verdict}: ${manifests} parts, ${files} files (${bytes(report.bytes)}), ${count(sequences)} sequences, ${count(tokens)} tokens\n`,
        );
      }
      if (args['repair'] === true && damaged.length > 0) {
        await withdrawParts(storage, folder, damaged);
        process.stderr.write(
          `tokensieve: ${folder}: withdrew ${damaged.length} damaged part(s); run the command that wrote them again\n`,
        );
      }
      if (manifests === 0)
        process.stderr.write(`tokensieve: ${folder}: no manifests found; nothing was checked\n`);
      return findings.length > 0 || manifests === 0 ? EXIT.failed : EXIT.done;
    }),
};
