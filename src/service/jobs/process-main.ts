/** Where a job's process starts: it announces itself, and becomes the command line if it is still wanted. */
import { fileURLToPath } from 'node:url';
import { launch } from './launch.js';
import { announce } from './process.js';

const [, , folder = '', attempt = '', index = '', launcher = '[]', ...args] = process.argv;

if (await announce(folder, attempt, index === '' ? null : Number(index))) {
  const main = new URL('../../cli/main.js', import.meta.url);
  const node = process.argv[0] ?? 'node';
  const before = JSON.parse(launcher) as string[];
  if (before.length > 0) {
    process.exitCode = await launch([...before, node, fileURLToPath(main), ...args]);
  } else {
    process.argv = [node, fileURLToPath(main), ...args];
    await import(main.href);
  }
}
