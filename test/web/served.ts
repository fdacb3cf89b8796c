import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cliPath } from '../support/cli.js';

/** A running `tokensieve serve`. */
export interface Served {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  /** What it has written to stderr. */
  log(): string;
  /** SIGKILL, as a machine that loses its power would. Resolves when the process is gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the compiled command on a folder with the quickstart's data; resolves when it listens. */
export async function startService(
  root: string,
  { port = 0, token, args = [] }: { port?: number; token?: string; args?: readonly string[] } = {},
): Promise<Served> {
  const tokenFile = join(root, 'token.txt');
  if (token !== undefined) writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  const child = spawn(
    process.execPath,
    [
      cliPath,
      'serve',
      ...['--root', root, '--port', String(port), '--log', 'warn'],
      ...['--models', `small=${join(root, 'models/reference')},${join(root, 'models/current')}`],
      ...(token === undefined ? [] : ['--token-file', tokenFile]),
      ...args,
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const [, found] = /serves on (http:\S+)/.exec(said) ?? [];
      if (found !== undefined) resolve(found);
    });
    void gone.then(() => reject(new Error(`the service did not start: ${log}`)));
  });
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await gone;
  };
  return {
    url,
    port: Number(new URL(url).port),
    child,
    log: () => log,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
}
