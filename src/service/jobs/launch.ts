import { spawn } from 'node:child_process';

/**
 * Runs a command line behind a launcher, such as `srun --ntasks=1`, as a child that shares this process's output. A
 * request to stop is handed on as SIGTERM, which launchers pass to what they have started.
 * @returns its exit code; 1 when a signal ended it, 2 when it could not be started
 */
export async function launch([command = '', ...args]: readonly string[]): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const stop = (): void => void child.kill('SIGTERM');
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return new Promise((resolve) => {
    child.on('error', ({ message }) => {
      process.stderr.write(`tokensieve: launcher ${command}: cannot be started: ${message}\n`);
      resolve(2);
    });
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
