import { pathToFileURL } from 'node:url';
import { cliPath, type Outcome } from './cli.js';

let runs = 0;

/**
 * The compiled command line in this process: its main module is evaluated anew, all others are loaded once, which is
 * nearly all of what a short command costs. One at a time. For what a command says and answers; how a process starts
 * and ends is asked of a real one (cli.ts).
 */
export async function cliHere(args: readonly string[]): Promise<Outcome> {
  const { argv } = process;
  const listeners = process.stdout.listeners('error');
  const said = { stdout: '', stderr: '' };
  const restore = (['stdout', 'stderr'] as const).map((name) => {
    const { write } = process[name];
    process[name].write = (text: string | Uint8Array): boolean => {
      said[name] += typeof text === 'string' ? text : Buffer.from(text).toString();
      return true;
    };
    return () => {
      process[name].write = write;
    };
  });
  process.argv = [process.execPath, cliPath, ...args];
  process.exitCode = undefined;
  try {
    await import(/* @vite-ignore */ `${pathToFileURL(cliPath)}?run=${++runs}`);
    return { code: Number(process.exitCode ?? 0), signal: null, ...said };
  } finally {
    process.exitCode = undefined;
    process.argv = argv;
    for (const undo of restore) undo();
    for (const listener of process.stdout.listeners('error'))
      if (!listeners.includes(listener)) process.stdout.off('error', listener as () => void);
  }
}
