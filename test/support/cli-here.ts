import { pathToFileURL } from 'node:url';
import { format } from 'node:util';
import { cliPath, type Outcome } from './cli.js';

let runs = 0;

/**
 * The compiled command line in this process: its main module is evaluated anew, all others are loaded once, which is
 * nearly all of what a short command costs. One at a time. For what a command says and answers; how a process starts
 * and ends is asked of a real one (cli.ts).
 */
export async function cliHere(args: readonly string[]): Promise<Outcome> {
  const { argv, exit, exitCode } = process;
  const streams = [process.stdout, process.stderr];
  const listeners = streams.flatMap((stream) => stream.listeners('error'));
  const said = { stdout: '', stderr: '' };
  const ended = (code: unknown): Outcome => ({ code: Number(code ?? 0), signal: null, ...said });
  const restore = [
    ...(['stdout', 'stderr'] as const).map((name) => {
      const { write } = process[name];
      process[name].write = (text: string | Uint8Array, ...rest: unknown[]): boolean => {
        said[name] += typeof text === 'string' ? text : Buffer.from(text).toString();
        const written = rest.at(-1);
        if (typeof written === 'function') written();
        return true;
      };
      return () => {
        process[name].write = write;
      };
    }),
    // Vitest's console does not write to its process.
    ...(['log', 'info', 'warn', 'error'] as const).map((name) => {
      const write = console[name];
      const stream = name === 'log' || name === 'info' ? 'stdout' : 'stderr';
      console[name] = (...values: unknown[]) => {
        said[stream] += `${format(...values)}\n`;
      };
      return () => {
        console[name] = write;
      };
    }),
  ];
  // What is said after an exit no process would have said.
  let exited: Outcome | null = null;
  process.exit = (code) => {
    exited ??= ended(code ?? process.exitCode);
    throw new Error(`the command ended with exit code ${exited.code}`);
  };
  process.argv = [process.execPath, cliPath, ...args];
  process.exitCode = undefined;
  try {
    const main = `${pathToFileURL(cliPath)}?run=${++runs}`;
    await import(/* @vite-ignore */ main).catch((error) => {
      if (exited === null) throw error;
    });
    return exited ?? ended(process.exitCode);
  } finally {
    process.exitCode = exitCode;
    process.argv = argv;
    process.exit = exit;
    for (const undo of restore) undo();
    for (const stream of streams)
      for (const listener of stream.listeners('error'))
        if (!listeners.includes(listener)) stream.off('error', listener as () => void);
  }
}
