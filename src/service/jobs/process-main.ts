/** Where a job's process starts: it announces itself, and becomes the command line if it is still wanted. */
import { fileURLToPath } from 'node:url';
import { announce } from './process.js';

const [, , folder = '', attempt = '', ...args] = process.argv;

if (await announce(folder, attempt)) {
  const main = new URL('../../cli/main.js', import.meta.url);
  process.argv = [process.argv[0] ?? 'node', fileURLToPath(main), ...args];
  await import(main.href);
}
