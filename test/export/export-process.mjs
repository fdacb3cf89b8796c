// An export in a process of its own, without the command line's other commands to load:
//   node export-process.mjs '{"run": …}' [--replace]
// Events go to stderr as lines of JSON; the last line on stdout is the peak resident memory in MiB.

import { exportRun } from '../../dist/export/export-run.js';
import { parseExport } from '../../dist/export/settings.js';
import { localStorage } from '../../dist/storage/local.js';

await exportRun(parseExport(JSON.parse(process.argv[2]), 'test'), {
  storage: localStorage(),
  sink: (event) => process.stderr.write(`${JSON.stringify(event)}\n`),
  signal: new AbortController().signal,
  replace: process.argv[3] === '--replace',
});
console.log(process.resourceUsage().maxRSS / 1024);
